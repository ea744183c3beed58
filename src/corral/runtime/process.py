"""Starting a program and hearing of its end, the cheap way: posix_spawn and a pidfd on the loop.

Not asyncio's subprocess: that costs more than twice as much here, and ties a child's life to ours. A child started by `spawn`
has its own session and outlives us; `ExitWatch` also works for a process that is not our child (adoption after a restart).
"""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
_PYTHON_IGNORES: Final = (signal.SIGPIPE, signal.SIGXFSZ)
"""Python ignores these; a child has to get the default back."""


def base_environment(user: str | None = None) -> dict[str, str]:
    """The small environment a task starts from: ours is not passed on, it may hold secrets. Raises KeyError for no such user."""
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment.setdefault("PATH", DEFAULT_PATH)
    try:
        entry = pwd.getpwuid(os.getuid()) if user is None else pwd.getpwnam(user)
    except KeyError:
        if user is not None:
            raise
        return environment
    return environment | {
        "HOME": entry.pw_dir or "/",
        "USER": entry.pw_name,
        "LOGNAME": entry.pw_name,
        "SHELL": entry.pw_shell or "/bin/sh",
    }


def spawn(argv: Sequence[str], environment: Mapping[str, str], *, stdin: int | None = None) -> int:
    """Start `argv[0]` (an absolute path) in its own session with /dev/null as standard streams; returns its pid.

    `stdin` is a descriptor to give it instead. Raises OSError.
    """
    actions: list[tuple[int, int, str, int, int] | tuple[int, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
    ]
    if stdin is None:
        actions.append((os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0))
    else:
        actions.append((os.POSIX_SPAWN_DUP2, stdin, 0))
    return os.posix_spawn(
        argv[0], tuple(argv), environment, file_actions=actions, setsid=True, setsigmask=(), setsigdef=_PYTHON_IGNORES
    )


class ExitWatch:
    """Calls `on_exit(status)` once on the loop when process `pid` is gone.

    `status` is the wait status of a child, None for a process that is not our child. Raises ProcessLookupError when it is gone
    already and was not our child.
    """

    __slots__ = ("_fd", "_loop", "_on_exit", "pid")

    def __init__(self, pid: int, on_exit: Callable[[int | None], None]) -> None:
        self.pid = pid
        self._on_exit = on_exit
        self._fd = os.pidfd_open(pid)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._gone)

    def _gone(self) -> None:
        self.close()
        self._on_exit(reap(self.pid))

    def redirect(self, on_exit: Callable[[int | None], None]) -> None:
        self._on_exit = on_exit

    def close(self) -> None:
        """Stop watching; the process goes on."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


def reap(pid: int) -> int | None:
    """The wait status of a child that ended, else None."""
    try:
        done, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return status if done else None


def boot_id() -> str:
    """Changes with every boot of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def start_time(pid: int) -> int | None:
    """When `pid` started, in clock ticks since boot; with the boot id it names a process for ever. None = no such process."""
    stat = read_stat(pid)
    return None if stat is None else stat.start


class ProcessStat:
    """What /proc/<pid>/stat says of one process."""

    __slots__ = ("command", "parent", "pid", "session", "start", "state")

    def __init__(self, pid: int, data: bytes) -> None:
        head, _, tail = data.rpartition(b")")
        fields = tail.split()
        self.pid = pid
        self.command = head.partition(b"(")[2].decode(errors="replace")
        self.state = fields[0].decode()
        self.parent = int(fields[1])
        self.session = int(fields[3])
        self.start = int(fields[19])


def read_stat(pid: int) -> ProcessStat | None:
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = os.read(fd, 4096)
        return ProcessStat(pid, data) if data else None
    except (OSError, IndexError, ValueError):
        return None
    finally:
        os.close(fd)


def find_program(name: str, path: str, cwd: str) -> str | None:
    """The absolute path of the executable `name` means, as a shell would find it; None when there is none."""
    if "/" in name:
        whole = os.path.join(cwd, name)
        return whole if _executable(whole) else None
    for folder in path.split(":"):
        whole = os.path.join(cwd, folder or ".", name)
        if _executable(whole):
            return whole
    return None


def _executable(path: str) -> bool:
    return os.access(path, os.X_OK) and not os.path.isdir(path)
