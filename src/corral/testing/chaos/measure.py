"""What a fault measures while it goes on: the server's own figures, memory of processes, and how long good work takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from corral.testing.chaos.field import Field
from corral.testing.chaos.ground import Ground
from corral.testing.stack import Stack

NOISE_SECONDS: Final = 0.05
"""On two busy cores whoever abuses takes one of them: what a job may be slower by before it counts."""
SERVED_SECONDS: Final = 1.0


async def figures(stack: Stack) -> dict[str, float]:
    """/metrics by name; figures with labels are left out."""
    found: dict[str, float] = {}
    _, _, text = await stack.fleet.system.probe("/metrics")
    for line in text.decode().splitlines():
        name, _, value = line.partition(" ")
        if name and not name.startswith("#") and "{" not in name:
            found[name] = float(value)
    return found


def rss_mb(pid: int) -> float:
    """Resident memory now, in decimal MB; 0 when there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6
    except (OSError, IndexError):
        return 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))] if ordered else 0.0


async def latencies(field: Field, count: int, *, on: str, seconds: float = 30.0) -> list[float]:
    """One small job after the other: submit until all its tasks are over. Raises TimeoutError when one does not end."""
    took: list[float] = []
    for _ in range(count):
        began = field.clock.monotonic()
        job = await field.submit(0, lines=1, on=on)
        if job is None:
            raise TimeoutError("a submission was not answered")
        handle = await field.fleet.jobs.handle(job)
        async for _event in handle.follow(everyone=True, output=False):
            pass
        if field.clock.monotonic() - began > seconds:
            raise TimeoutError(f"a job took longer than {seconds:g} s")
        took.append(field.clock.monotonic() - began)
    return took


def allowed(usual: Sequence[float], ground: Ground) -> float:
    """What the 95th percentile of good work may be under abuse: twice the usual and NOISE_SECONDS.

    In the small form, which runs beside other tests on whatever machine there is, only that everybody is still served: a second.
    """
    return 2 * percentile(usual, 0.95) + NOISE_SECONDS if ground.scale == "full" else SERVED_SECONDS


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile in milliseconds."""
    return {"p50_ms": round(1000 * percentile(values, 0.5), 1), "p95_ms": round(1000 * percentile(values, 0.95), 1)}
