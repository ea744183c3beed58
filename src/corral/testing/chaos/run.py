"""One fault after the other: seed, verdict, seconds, and the history as JSON."""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from corral.runtime.clock import Clock, SystemClock, iso
from corral.testing.chaos.ground import Fault, Ground, Outcome, Scale

LIMIT_SECONDS: Final[dict[Scale, float]] = {"ci": 180.0, "full": 1800.0}
"""A fault that takes longer hangs, which is a verdict too."""


@dataclass(frozen=True, kw_only=True)
class Record:
    fault: Fault
    seed: int
    scale: Scale
    outcome: Outcome
    seconds: float
    at: str

    def json(self) -> dict[str, Any]:
        return {
            "fault": self.fault.name,
            "title": self.fault.title,
            "asked": self.fault.asked,
            "ran": self.outcome.ran,
            "scale": self.scale,
            "seed": self.seed,
            "ok": self.outcome.ok,
            "problems": list(self.outcome.problems),
            "figures": dict(self.outcome.figures),
            "seconds": round(self.seconds, 1),
            "at": self.at,
        }

    def line(self) -> str:
        verdict = "ok" if self.outcome.ok else "BROKEN"
        return (
            f"{self.fault.name:<5} {self.fault.title:<34} asked {self.fault.asked:<34} ran {self.outcome.ran:<5}"
            f" {verdict:<7} {self.seconds:6.1f} s"
        )


async def run_fault(fault: Fault, *, seed: int, scale: Scale, keep: Path | None = None) -> Record:
    """A fault that cannot even be carried out is a broken one; its traceback is the problem."""
    clock: Clock = SystemClock()
    began = clock.monotonic()
    # its own dice, so that one fault alone repeats what it did in a run of all
    ground = Ground(
        rng=random.Random(f"{seed} {fault.name}"),  # noqa: S311  # repeatable on purpose
        scale=scale,
        keep=None if keep is None else keep / fault.name,
        clock=clock,
    )
    try:
        async with asyncio.timeout(LIMIT_SECONDS[scale]):
            outcome = await fault.run(ground)
    except Exception:
        outcome = Outcome(ran=0, problems=[traceback.format_exc()])
    at = iso(clock.now()) or ""
    return Record(fault=fault, seed=seed, scale=scale, outcome=outcome, seconds=clock.monotonic() - began, at=at)


def table(records: Sequence[Record]) -> str:
    lines = [record.line() for record in records]
    lines += [f"{record.fault.name}: {problem}" for record in records for problem in record.outcome.problems]
    return "\n".join(lines)
