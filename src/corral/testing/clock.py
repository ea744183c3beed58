"""A clock that stands still until a test moves it; sleepers wake in order as time passes them."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from datetime import UTC, datetime


class FakeClock:
    """Implements runtime.clock.Clock. `advance` wakes everyone whose time has come, in order."""

    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        self._wall = wall
        self._monotonic = 1000.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._wall, UTC)

    def wall(self) -> float:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), future))
        await future

    def step_wall(self, seconds: float) -> None:
        """Move the wall clock only, as a bad NTP step does."""
        self._wall += seconds

    async def advance(self, seconds: float) -> None:
        end = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            when, _, future = heapq.heappop(self._sleepers)
            self._wall += when - self._monotonic
            self._monotonic = when
            if not future.done():
                future.set_result(None)
            await _settle()
        self._wall += end - self._monotonic
        self._monotonic = end
        await _settle()


async def _settle() -> None:
    """Let everything that is ready run, so that what woke has gone to sleep again."""
    for _ in range(20):
        await asyncio.sleep(0)
