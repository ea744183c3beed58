from __future__ import annotations

import asyncio
from datetime import datetime

from corral.domain.errors import Unavailable
from corral.server.application.leadership import Leadership
from corral.testing.clock import FakeClock


class Leases:
    """One lease with the semantics of ports.access.LeaseStore."""

    def __init__(self) -> None:
        self.holder, self.expires, self.token, self.broken = "", 0.0, 0, False

    async def acquire(self, name: str, holder: str, *, seconds: float, now: datetime) -> int | None:
        if self.broken:
            raise Unavailable("cannot reach the database")
        if self.holder != holder and self.expires > now.timestamp():
            return None
        self.token += self.holder != holder
        self.holder, self.expires = holder, now.timestamp() + seconds
        return self.token

    async def release(self, name: str, holder: str) -> None:
        if self.holder == holder:
            self.expires = 0.0


async def start(leader: Leadership) -> asyncio.Task[None]:
    ready = asyncio.Event()
    task = asyncio.ensure_future(leader.run(ready.set))
    await ready.wait()
    return task


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_one_of_two_leads_and_the_other_takes_over_after_a_release_with_a_newer_token() -> None:
    clock, leases = FakeClock(), Leases()
    a, b = (Leadership(leases=leases, holder=name, clock=clock) for name in "ab")
    run_a, run_b = await start(a), await start(b)
    assert a.leading and not b.leading and a.token == 1
    await stop(run_a)
    assert not a.leading
    await clock.advance(2.1)
    assert b.leading and b.token == 2
    await stop(run_b)


async def test_a_server_that_cannot_renew_stops_leading_before_its_lease_ends() -> None:
    clock, leases = FakeClock(), Leases()
    leader = Leadership(leases=leases, holder="a", clock=clock)
    run = await start(leader)
    leases.broken = True
    await clock.advance(5.2)
    assert not leader.leading and leases.expires > clock.wall()
    leases.broken = False
    await clock.advance(2)
    assert leader.leading
    await stop(run)
