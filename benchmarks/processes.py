"""Memory and processor time of processes, read from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Usage:
    pid: int
    name: str
    rss_bytes: int
    cpu_seconds: float


def usage(pid: int) -> Usage:
    stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return Usage(pid=pid, name=command, rss_bytes=pages * _PAGE, cpu_seconds=(int(stat[11]) + int(stat[12])) / _TICK)


def fine_cpu_seconds(pid: int) -> float:
    """Processor time of all its threads to the nanosecond, for what does almost nothing; `usage` counts ticks of 10 ms."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def tree(pid: int) -> list[int]:
    """`pid` and everything below it."""
    found, queue = [pid], [pid]
    while queue:
        for thread in Path(f"/proc/{queue.pop()}/task").glob("*/children"):
            try:
                pids = [int(word) for word in thread.read_text().split()]
            except (FileNotFoundError, ProcessLookupError):
                continue
            found += pids
            queue += pids
    return found
