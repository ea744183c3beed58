"""What every verb shares: where the server is, how to print, whom to ask. One Session per invocation, kept in click's context.

Data goes to stdout, talk to stderr. With a machine format (json, yaml, name) or -q only data and errors are printed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from click.exceptions import Exit

from corral.domain.errors import Invalid
from corral.runtime.clock import Clock, SystemClock
from corral.sdk.context import Context, find_context

if TYPE_CHECKING:
    from corral.sdk.fleet import Fleet


@dataclass
class Session:
    """Filled by the shared options (cli/options.py)."""

    url: str | None = None
    token_file: str | None = None
    ca: str | None = None
    output: str = "table"
    no_color: bool = False
    yes: bool = False
    quiet: bool = False
    selector: str = ""
    clock: Clock = field(default_factory=SystemClock)

    def context(self) -> Context:
        token = None
        if self.token_file is not None:
            try:
                text = sys.stdin.read() if self.token_file == "-" else Path(self.token_file).read_text()
            except OSError as error:
                raise Invalid(
                    f"cannot read the token file {self.token_file!r}: {error.strerror}", element="token-file"
                ) from None
            token = text.strip()
        return find_context(url=self.url, token=token, ca=self.ca)

    def connect(self) -> Fleet:
        """Use as `async with`. The HTTP client is loaded here: not for --help, not for a usage error."""
        from corral.sdk.fleet import Fleet

        return Fleet(self.context())

    @property
    def machine(self) -> bool:
        return self.output in ("json", "yaml", "name")

    @property
    def talks(self) -> bool:
        return not self.quiet and not self.machine

    def colour(self, stream: TextIO) -> bool:
        return is_terminal(stream) and not self.no_color and not os.environ.get("NO_COLOR") and _term() != "dumb"

    def paint(self, text: str, code: str, stream: TextIO) -> str:
        """`text` in an SGR colour, if `stream` shows colours. Colour never says what the words do not."""
        return f"\x1b[{code}m{text}\x1b[0m" if code and self.colour(stream) else text

    def out(self, text: str) -> None:
        """Data."""
        sys.stdout.write(text + "\n")

    def note(self, text: str) -> None:
        """Talk: left out when quiet or for machines."""
        if self.talks:
            self.warn(text)

    def warn(self, text: str) -> None:
        """Talk that is always worth it."""
        sys.stdout.flush()
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def show(self, data: Any, *, names: Sequence[str], table: Callable[[bool], str]) -> None:
        """Print an answer in the format asked for. `table(wide)` is called only for table and wide."""
        if self.output == "name" or (self.quiet and self.output == "table"):
            if names:
                self.out("\n".join(names))
        elif self.machine:
            from corral.cli.output.writers import machine

            self.out(machine(data, self.output))
        else:
            self.out(table(self.output == "wide"))

    def columns(self) -> int | None:
        """The width of the terminal on stdout; None when there is none: nothing is cut for a pipe."""
        if not is_terminal(sys.stdout):
            return None
        try:
            return os.get_terminal_size(sys.stdout.fileno()).columns or None
        except (OSError, ValueError):
            return None

    def confirm(self, question: str) -> None:
        """Ask on a terminal; --yes answers, and where nobody can answer nobody is asked. Exits with 1 on 'no'."""
        if self.yes or not interactive():
            return
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            sys.stderr.write("not confirmed: nothing was done\n")
            raise Exit(1)


def is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:
        return False


def interactive() -> bool:
    """Whether a person sits there: both ends of the conversation are a terminal."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def _term() -> str:
    return os.environ.get("TERM", "")
