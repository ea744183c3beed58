"""When things past their keep go: not before the server has been up for an hour."""

from __future__ import annotations

from datetime import datetime

from corral.server.compose.retention import SETTLE_SECONDS, settled
from corral.testing.clock import FakeClock


async def test_a_server_that_just_started_with_a_clock_ten_years_ahead_deletes_nothing() -> None:
    clock = FakeClock()
    gone: list[datetime] = []

    async def hook(now: datetime) -> None:
        gone.append(now)

    retain = settled(hook, clock)
    clock.step_wall(10 * 365 * 86400.0)
    await retain(clock.now())
    await clock.advance(SETTLE_SECONDS - 1)
    await retain(clock.now())
    assert gone == []
    await clock.advance(1)
    await retain(clock.now())
    assert gone == [clock.now()]
