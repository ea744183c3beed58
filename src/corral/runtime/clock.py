"""The one place that reads time. Decisions take `now`; loops take a Clock; tests jump with a FakeClock (corral.testing.clock)."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware UTC wall time."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never steps back. Use it for every duration."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The real clock. `CORRAL_CLOCK_OFFSET` (seconds) shifts wall time: tests step a process's clock, never the machine's."""

    def __init__(self, offset_seconds: float | None = None) -> None:
        self._offset = float(os.environ.get("CORRAL_CLOCK_OFFSET", "0")) if offset_seconds is None else offset_seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.wall(), UTC)

    def wall(self) -> float:
        return time.time() + self._offset

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def now_ms(clock: Clock) -> int:
    return int(clock.wall() * 1000)


def iso(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC with milliseconds, as REST and the CLI print it."""
    if moment is None:
        return None
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"
