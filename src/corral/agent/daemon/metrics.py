"""One sample of how busy the machine is (OSF-4): flat names → numbers, read from /proc, no process started.

Levels are of the moment; traffic (`disk_read_bytes`, `net.<if>.rx_bytes`, …) is what passed since the sample before, over
`interval_seconds`; the first sample has no traffic and no cpu_percent.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from corral.agent.daemon import proc
from corral.agent.daemon.facts import read
from corral.runtime.clock import Clock

INTERFACES_MAX = 32
MOUNTS_MAX = 32


@dataclass(frozen=True)
class Counters:
    """What only ever grows; two of them make the traffic between."""

    at: float
    cpu: proc.CpuTimes | None
    disk: tuple[int, int]
    net: dict[str, tuple[int, int]] = field(default_factory=dict)


class Sampler:
    """`sample` reads everything once. `read_file` is for tests."""

    def __init__(self, clock: Clock, read_file: Callable[[str], str] = read) -> None:
        self._clock = clock
        self._read = read_file
        self._before: Counters | None = None

    def sample(self) -> dict[str, float]:
        now = self._counters()
        values = levels(self._read("/proc/meminfo"), self._read("/proc/loadavg"))
        values.update(disk_levels(self._read("/proc/self/mounts")))
        with contextlib.suppress(OSError):
            values["procs"] = sum(name.isdigit() for name in os.listdir("/proc"))
        if self._before is not None:
            values.update(traffic(self._before, now))
        self._before = now
        return values

    def _counters(self) -> Counters:
        try:
            disks = frozenset(os.listdir("/sys/block"))
        except OSError:
            disks = frozenset()
        return Counters(
            at=self._clock.monotonic(),
            cpu=proc.cpu_times(self._read("/proc/stat")),
            disk=proc.disk_bytes(self._read("/proc/diskstats"), disks),
            net=proc.interface_bytes(self._read("/proc/net/dev")),
        )


def levels(meminfo: str, loadavg: str) -> dict[str, float]:
    """Memory and load. Used memory is what is not available to a new program: caches count as free."""
    values: dict[str, float] = {}
    memory = proc.meminfo(meminfo)
    total = memory.get("MemTotal", 0)
    if total:
        used = total - memory.get("MemAvailable", memory.get("MemFree", 0))
        values.update(mem_total=total, mem_used=used, mem_percent=round(100 * used / total, 2))
    swap = memory.get("SwapTotal", 0)
    used = swap - memory.get("SwapFree", 0)
    values.update(swap_total=swap, swap_used=used, swap_percent=round(100 * used / swap, 2) if swap else 0.0)
    load = proc.loadavg(loadavg)
    if load is not None:
        values.update(load1=load[0], load5=load[1], load15=load[2])
    return values


def disk_levels(mounts: str) -> dict[str, float]:
    """`disk.<path>` → percent used, as df counts it: of what a normal user can have."""
    values: dict[str, float] = {}
    for mount in proc.mounts(mounts)[:MOUNTS_MAX]:
        try:
            size = os.statvfs(mount.path)
        except OSError:
            continue
        used = size.f_blocks - size.f_bfree
        if used + size.f_bavail:
            values[f"disk.{mount.path}"] = round(100 * used / (used + size.f_bavail), 2)
    return values


def traffic(before: Counters, after: Counters) -> dict[str, float]:
    """What passed between two readings. A counter that went backwards (an interface made anew) counts from zero."""
    values: dict[str, float] = {"interval_seconds": round(after.at - before.at, 3)}
    if before.cpu is not None and after.cpu is not None:
        values["cpu_percent"] = proc.cpu_percent(before.cpu, after.cpu)
    values["disk_read_bytes"] = _grown(before.disk[0], after.disk[0])
    values["disk_write_bytes"] = _grown(before.disk[1], after.disk[1])
    for name, (received, sent) in sorted(after.net.items())[:INTERFACES_MAX]:
        old = before.net.get(name, (received, sent))
        values[f"net.{name}.rx_bytes"] = _grown(old[0], received)
        values[f"net.{name}.tx_bytes"] = _grown(old[1], sent)
    return values


def _grown(before: int, after: int) -> int:
    return after - before if after >= before else after
