"""Entry of the command line: parse, run, and turn every error into "error: …", "hint: …" and an exit status.

Importing this must stay cheap (no HTTP client, no rich): tests/unit/cli/test_import_cost.py holds it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

import corral
from corral.cli import exits
from corral.cli.lazy import NOUNS, LazyGroup
from corral.cli.options import HELP
from corral.cli.output.terminal import cell
from corral.domain.errors import BadSelector, CorralError

root = LazyGroup(
    "corral",
    entries=NOUNS,
    context_settings=HELP,
    help="Run a fleet of Linux machines: see them, run commands on them, prove afterwards what happened.",
    epilog="Try: corral up · corral node list · corral exec run -t all -- uptime",
)
click.version_option(corral.__version__, "-V", "--version", message="corral %(version)s")(root)


def main(words: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit status and never raises."""
    args = list(sys.argv[1:] if words is None else words)
    try:
        status = _run(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader (head, less) left. What we started goes on; keep the interpreter's own flush from complaining.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.FAILED
    except KeyboardInterrupt:
        return exits.DETACHED


def _run(args: list[str]) -> int:
    from corral.cli.session import Session

    session = Session()
    try:
        result = root.main(args=args or ["--help"], prog_name="corral", standalone_mode=False, obj=session)
        return result if isinstance(result, int) else exits.OK
    except CorralError as error:
        _say(error, session.selector)
        return error.exit_status
    except click.exceptions.NoArgsIsHelpError as error:
        sys.stdout.write(error.ctx.get_help() + "\n" if error.ctx else "")
        return exits.USAGE
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "corral"
        _print(f"error: {error.format_message()}", f"hint: {where} --help")
        return exits.USAGE
    except click.ClickException as error:
        _print(f"error: {error.format_message()}")
        return exits.FAILED
    except click.Abort:
        return exits.DETACHED


def _say(error: CorralError, selector: str) -> None:
    """The message, a caret under the column of a selector that does not parse, and the remedy."""
    lines = [f"error: {cell(error.message)}"]
    if isinstance(error, BadSelector):
        text = error.text or selector
        if text and "\n" not in text and 0 < error.column <= len(text) + 1:
            lines += [f"  {cell(text)}", f"  {' ' * len(cell(text[: error.column - 1]))}^"]
    if error.hint:
        lines.append(f"hint: {cell(error.hint)}")
    _print(*lines)


def _print(*lines: str) -> None:
    sys.stdout.flush()
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()
