"""The wrapper around every command: a POSIX sh text that claims the attempt, runs the command, and writes its exit status.

The claim (`set -C`: create, or fail when it exists) decides every race: whoever did not make the file runs nothing. The status
is one builtin `echo` ending in a newline; a file without it does not exist yet. No helper program and no Python: the wrapper
has to outlive us, cheaply. It ignores polite signals (by handlers, which commands do not inherit) so that a command which
signals its own process group does not take its witness along.

A shell kept warm waits on a pipe for this same text, which saves the start of a shell per task (100 tasks: 124 → 78 ms). When
we die it reads end-of-file and goes; when it got its text before, it runs it, and the claim tells whoever comes after.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from corral.agent.worker.invocation import RESULT_FD, Invocation
from corral.runtime.backoff import spread
from corral.runtime.process import ExitWatch, read_stat, spawn, start_time
from corral.runtime.proctree import carries

SHELL: Final = "/bin/sh"
CLAIM_LOST: Final = 250
"""The wrapper's own exit status when somebody else holds the claim: nothing was run."""
UNREADY: Final = 251
"""… when the claim was taken but the working directory could not be entered: nothing was run either."""
_WARM_TEXT_BYTES_MAX: Final = 30 << 10
"""Well below what a pipe holds, so that one write never blocks and never ends half-way."""
_WARM_AGAIN_SECONDS: Final = 0.15
_QUIET_SECONDS: Final = 0.1
"""A burst is over when nothing was launched for this long."""
_SHELL_OWN: Final = frozenset(
    {
        "BASHOPTS", "BASH_ENV", "BASH_VERSINFO", "CDPATH", "DIRSTACK", "ENV", "EUID", "FUNCNAME", "GROUPS", "HISTFILE", "IFS",
        "LINENO", "MAIL", "MAILPATH", "OLDPWD", "OPTARG", "OPTERR", "OPTIND", "POSIXLY_CORRECT", "PPID", "PS1", "PS2", "PS4",
        "PWD", "RANDOM", "SECONDS", "SHELLOPTS", "TMOUT", "UID",
    }
)  # fmt: skip
"""Names that mean something to the shell itself: a command that wants them gets a shell of its own."""

Exited = Callable[[int | None], None]


def wrapper_text(call: Invocation, command: str, *, start: int | None = None, added: Mapping[str, str] = {}) -> str:
    """The whole text. `command` is what stands in the command's place: quoted words, or "$@".

    A subshell that becomes the command: its redirections are the child's alone, so the shell's own remark on a command killed
    by a signal does not land in the task's stderr.
    """
    where = shlex.quote(call.directory)
    script = f" 9<{shlex.quote(call.script_fd)}" if call.script_fd else ""
    result = f" {RESULT_FD}>>{shlex.quote(call.result_fd)}" if call.result_fd else ""
    claim = f'"$$ {start}"' if start is not None else "$$"
    export = "export " + " ".join(f"{k}={shlex.quote(v)}" for k, v in added.items()) + "\n" if added else ""
    return (
        f"set -C\necho {claim} >{where}/claim || exit {CLAIM_LOST}\nset +C\n"
        "trap : HUP INT QUIT TERM\n"
        f"cd {shlex.quote(call.cwd)} 2>/dev/null || {{ echo cwd >{where}/unready; exit {UNREADY}; }}\n"
        f"{export}(exec {command}) >>{where}/out 2>>{where}/err <{shlex.quote(call.stdin)}{script}{result}\n"
        f'set -- "$?"\necho "$1" >{where}/rc\nexit "$1"\n'
    )


class _WarmShell:
    __slots__ = ("_pipe", "start", "watch")

    def __init__(self, environment: Mapping[str, str], on_exit: Exited) -> None:
        reader, self._pipe = os.pipe2(os.O_CLOEXEC)
        try:
            pid = spawn((SHELL,), environment, stdin=reader)
        except OSError:
            os.close(self._pipe)
            raise
        finally:
            os.close(reader)
        self.start = start_time(pid)
        self.watch = ExitWatch(pid, on_exit)

    def give(self, text: bytes) -> bool:
        """False when the shell is gone; then it has run nothing of it."""
        try:
            return os.write(self._pipe, text) == len(text)
        except OSError:
            return False
        finally:
            self.close()

    def close(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1


class Launcher:
    """Starts wrappers; keeps one shell warm between tasks when asked to."""

    launched_at: ClassVar[float] = 0.0
    """Loop time of the last launch in this process: simulated nodes share its cores, so their bursts are one."""

    def __init__(self, environment: Mapping[str, str], *, warm: bool) -> None:
        self._environment = environment
        self._keep_warm = warm
        self._warm: _WarmShell | None = None
        self._planned = False
        self._closed = False

    def warm_up(self) -> None:
        """Have a shell ready; failing to is no harm, the next task starts its own."""
        if self._warm is None and self._keep_warm and not self._closed:
            with contextlib.suppress(OSError):
                self._warm = _WarmShell(self._environment, self._warm_gone)

    def _warm_gone(self, _: int | None) -> None:
        if self._warm is not None:
            self._warm.close()
            self._warm = None

    def launch(self, call: Invocation, on_exit: Exited) -> ExitWatch:
        """Start `call`; `on_exit(wait status)` follows exactly once. Raises OSError when nothing could be started."""
        Launcher.launched_at = asyncio.get_running_loop().time()
        if self._warm is not None and call.plain and not (_SHELL_OWN & call.added.keys()):
            warm = self._warm
            text = wrapper_text(call, shlex.join(call.argv), start=warm.start, added=call.added)
            data = text.encode("utf-8", "surrogateescape")
            if len(data) <= _WARM_TEXT_BYTES_MAX:
                self._warm = None
                if warm.give(data):
                    warm.watch.redirect(on_exit)
                    return warm.watch
        pid = spawn((SHELL, "-c", wrapper_text(call, '"$@"'), "sh", *call.argv), call.environment)
        return ExitWatch(pid, on_exit)

    def warm_up_later(self) -> None:
        """After a burst, not in it: starting a shell costs as much as starting a task."""
        if self._warm is None and self._keep_warm and not self._closed and not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_later(spread(_WARM_AGAIN_SECONDS, 0.3), self._when_quiet)

    def _when_quiet(self) -> None:
        self._planned = False
        if asyncio.get_running_loop().time() - Launcher.launched_at >= _QUIET_SECONDS:
            self.warm_up()
        else:
            self.warm_up_later()

    def close(self) -> None:
        """Let the waiting shell go (it reads end-of-file); running wrappers go on."""
        self._closed = True
        if self._warm is not None:
            self._warm.close()
            self._warm = None


class Claim:
    """What the claim file says: the wrapper's pid, and its start time when the wrapper knew it.

    pid 0 = a worker took the claim, so nothing ran; pid -1 = the text is not there, so anything may have.
    """

    __slots__ = ("pid", "start")

    def __init__(self, pid: int, start: int | None) -> None:
        self.pid = pid
        self.start = start


def read_claim(directory: str) -> Claim | None:
    """None when there is no claim."""
    try:
        with open(f"{directory}/claim", "rb") as file:
            text = file.read(64)
    except OSError:
        return None
    words = text.split()
    try:
        if text.endswith(b"\n"):
            return Claim(int(words[0]), int(words[1]) if len(words) > 1 else None)
    except (ValueError, IndexError):
        pass
    return Claim(-1, None)


def take_claim(directory: str) -> bool:
    """Take the claim ourselves: True = no wrapper ran anything in `directory`, and none ever will."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    try:
        fd = os.open(f"{directory}/claim", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    os.write(fd, b"0\n")
    os.close(fd)
    return True


def read_status(directory: str) -> int | None:
    """The command's exit status, once the wrapper wrote it whole."""
    try:
        fd = os.open(f"{directory}/rc", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(fd, 16)
    finally:
        os.close(fd)
    return int(text) if text.endswith(b"\n") and text[:-1].isdigit() else None


def is_wrapper(claim: Claim, mark: str) -> bool:
    """Whether the process of `claim` is the wrapper that wrote it, and not one that was given its pid later.

    A wrapper leads its own session. One started for its task carries the mark; one that was kept warm knew its start time.
    """
    stat = read_stat(claim.pid)
    if stat is None or stat.state in "ZX" or stat.session != claim.pid:
        return False
    return claim.start == stat.start if claim.start is not None else carries(claim.pid, mark)
