"""The worker as a process, seen from outside: is it there, how much memory, end it, start one that is nobody's child.

A started worker is put behind `sh … &` in a session of its own: the shell ends at once, the worker belongs to init, and the end of
the daemon means nothing to it (OSF-2).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from corral.agent import pidfile
from corral.agent.daemon.facts import read
from corral.agent.daemon.proc import resident_bytes

_START: Final = 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 &'


class Workers(Protocol):
    """The keeper's hands."""

    def running(self) -> pidfile.Process | None: ...

    def named(self) -> pidfile.Process | None:
        """The last one that came up, running or not."""
        ...

    def memory_bytes(self, process: pidfile.Process) -> int: ...

    def signal(self, process: pidfile.Process, number: signal.Signals) -> None:
        """Send it to exactly this process; a reused pid gets nothing."""
        ...

    def on_end(self, process: pidfile.Process, call: Callable[[], None]) -> None:
        """Call it once when exactly this process has ended."""
        ...

    def start(self) -> None:
        """Returns at once; `running` shows it when it has written its pid file."""
        ...


class LocalWorkers:
    """The real hands, on this machine."""

    def __init__(self, *, pid_file: Path, argv: Sequence[str], output: Path) -> None:
        self._pid_file = pid_file
        self._argv = list(argv)
        self._output = output

    def running(self) -> pidfile.Process | None:
        return pidfile.read(self._pid_file)

    def named(self) -> pidfile.Process | None:
        return pidfile.named(self._pid_file)

    def memory_bytes(self, process: pidfile.Process) -> int:
        return resident_bytes(read(f"/proc/{process.pid}/statm"), os.sysconf("SC_PAGE_SIZE"))

    def signal(self, process: pidfile.Process, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            fd = os.pidfd_open(process.pid)
            try:
                if process.alive:
                    signal.pidfd_send_signal(fd, number)
            finally:
                os.close(fd)

    def on_end(self, process: pidfile.Process, call: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        try:
            fd = os.pidfd_open(process.pid)
        except ProcessLookupError:
            loop.call_soon(call)
            return

        def ended() -> None:
            loop.remove_reader(fd)
            os.close(fd)
            call()

        loop.add_reader(fd, ended)

    def start(self) -> None:
        pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", _START, "corral-start", str(self._output), *self._argv],
            os.environ,
            setsid=True,
            setsigdef=[signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE],
            setsigmask=[],
        )
        os.waitpid(pid, 0)  # the shell ends as soon as it has forked


def kept_by_systemd(cgroup: str) -> bool:
    """Whether /proc/self/cgroup says that we are the daemon's systemd unit: then systemd starts the worker, and we only end it."""
    return "/corral-daemon.service" in cgroup
