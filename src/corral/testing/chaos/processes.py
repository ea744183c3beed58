"""Signals to processes we started, and what the kernel says of them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from corral.runtime.clock import Clock


@contextlib.asynccontextmanager
async def paused(*pids: int) -> AsyncGenerator[None, None]:
    """SIGSTOP for the block, SIGCONT whatever happens in it."""
    try:
        for pid in pids:
            send(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            send(pid, signal.SIGCONT)


def send(pid: int, number: signal.Signals) -> bool:
    """Whether there was such a process."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def exists(pid: int) -> bool:
    """A zombie counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (OSError, IndexError):
        return False


async def until_gone(pid: int, clock: Clock, *, seconds: float = 20.0) -> bool:
    deadline = clock.monotonic() + seconds
    while exists(pid):
        if clock.monotonic() > deadline:
            return False
        await clock.sleep(0.01)
    return True


def memory_peak_mb(pid: int) -> float:
    """The most resident memory it ever had, in MB; 0 when it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    return 0.0


def speaking_of(word: str) -> Iterator[tuple[int, list[str]]]:
    """(pid, words) of every living process with `word` in its command line or environment; never ourselves."""
    mark = word.encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes()
            if (mark in line or mark in (entry / "environ").read_bytes()) and exists(int(entry.name)):
                yield int(entry.name), [part.decode(errors="replace") for part in line.split(b"\0") if part]
        except OSError:
            continue
