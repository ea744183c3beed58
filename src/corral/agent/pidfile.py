"""Who runs as daemon or worker of a state directory: pid + start time + boot id, because a bare pid is reused.

`<state>/daemon.pid` and `<state>/worker.pid` hold one line, "<pid> <start> <boot id>". A file whose process is gone, or whose pid
now belongs to another process (another start time) or another boot, says nobody runs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from corral.runtime.files import write_atomic


@dataclass(frozen=True)
class Process:
    """One process for all time: `start` is its start in clock ticks since boot (/proc/<pid>/stat field 22)."""

    pid: int
    start: int
    boot_id: str

    @property
    def alive(self) -> bool:
        return self.boot_id == boot_id() and start_of(self.pid) == self.start


def boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def start_of(pid: int) -> int | None:
    """When `pid` started, in ticks since boot; None when there is no such process or it is a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command name may hold spaces and brackets: fields are counted after the last one.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def myself() -> Process:
    return Process(os.getpid(), start_of(os.getpid()) or 0, boot_id())


def write(path: Path) -> None:
    """Say at `path` that this process has the role."""
    me = myself()
    write_atomic(path, f"{me.pid} {me.start} {me.boot_id}\n".encode(), durable=False)


def named(path: Path) -> Process | None:
    """Whom the file names, running or not; None when it is missing or damaged."""
    try:
        pid, start, boot = path.read_text(encoding="ascii", errors="replace").split()
        return Process(int(pid), int(start), boot)
    except (OSError, ValueError):
        return None


def read(path: Path) -> Process | None:
    """Who the file names and still runs; None when it is missing, damaged or stale."""
    process = named(path)
    return process if process is not None and process.alive else None


def remove(path: Path) -> None:
    """Take our own name off `path`; another process's file stays."""
    if read(path) == myself():
        path.unlink(missing_ok=True)
