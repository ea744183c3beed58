"""Finding and signalling all processes of one task: those that carry its mark, their sessions, and their descendants.

A mark is an environment entry `NAME=value` set when the task starts; it survives setsid, double forks and exec. What dropped
its environment is still found while it shares a session with, or descends from, a process that is found. Costs one pass over
/proc, so it is for cancel and timeout, not for every task.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from corral.runtime.process import ProcessStat, read_stat

_COMMAND_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class TreeProcess:
    """One process, named by pid and start time so that a reused pid is never hit."""

    pid: int
    start: int
    command: str


def find_tree(mark: str, *, roots: Mapping[int, int] = MappingProxyType({})) -> list[TreeProcess]:
    """Every live process of the tree. `roots` = {pid: start time} of those that belong to it whatever their environment (the wrapper).

    We ourselves, our session and pid 1 never belong to it.
    """
    wanted = b"\0" + mark.encode() + b"\0"
    mine, my_session = os.getpid(), os.getsid(0)
    alive: dict[int, ProcessStat] = {}
    found: set[int] = set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        pid = int(entry)
        stat = read_stat(pid)
        if stat is None or stat.state in "ZX" or pid in (1, mine) or stat.session == my_session:
            continue
        alive[pid] = stat
        if roots.get(pid) == stat.start or wanted in b"\0" + _environment(pid):
            found.add(pid)
    _spread(alive, found)
    return [TreeProcess(pid, alive[pid].start, _command(alive[pid])) for pid in sorted(found)]


def _spread(alive: dict[int, ProcessStat], found: set[int]) -> None:
    """Add session mates and descendants until nothing new turns up."""
    before = -1
    while before != len(found):
        before = len(found)
        sessions = {alive[pid].session for pid in found} - {0, 1}
        for pid, stat in alive.items():
            if stat.session in sessions or stat.parent in found:
                found.add(pid)


def _environment(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _command(stat: ProcessStat) -> str:
    try:
        with open(f"/proc/{stat.pid}/cmdline", "rb") as file:
            words = file.read(4096).rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        words = ""
    return (words or f"[{stat.command}]")[:_COMMAND_CHARS]


def signal_all(processes: Iterable[TreeProcess], number: signal.Signals) -> list[TreeProcess]:
    """Send `number` to each that is still the same process; returns those that got it."""
    reached = []
    for process in processes:
        try:
            fd = os.pidfd_open(process.pid)
        except OSError:
            continue
        try:
            stat = read_stat(process.pid)
            # the pidfd is held while we look: what we signal is what we looked at
            if stat is not None and stat.start == process.start:
                signal.pidfd_send_signal(fd, number)
                reached.append(process)
        except OSError:
            pass
        finally:
            os.close(fd)
    return reached


def carries(pid: int, mark: str) -> bool:
    """Whether process `pid` was started with this mark."""
    return b"\0" + mark.encode() + b"\0" in b"\0" + _environment(pid)
