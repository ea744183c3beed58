"""The sweep: ends what will never come. The lease holder alone runs it; every step may run twice.

`expired`: never delivered before its deadline. `lost`: delivered or running on a node that has been gone for longer than
`lost_after`. A server that was itself away (just started, engine gone) knows nothing about nodes, so it first waits until it
has been able to hear them for a while: an outage of ours never turns running work into `lost`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from corral.domain.errors import CorralError
from corral.runtime.clock import Clock
from corral.server.application.jobs.aftermath import Aftermath
from corral.server.application.jobs.counters import Counters
from corral.server.application.ports.jobs import JobStore

SWEEP_SECONDS: Final = 5.0
LOST_AFTER_SECONDS: Final = 3600.0
LISTEN_SECONDS: Final = 120.0
"""How long we must have been able to hear nodes before one of them counts as gone: reconnects, three beats, a presence flush."""
RETENTION_SECONDS: Final = 3600.0
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)

log = logging.getLogger("corral.sweep")

RetentionHook = Callable[[datetime], Awaitable[object]]
"""Called about once an hour with the time; removes what is past its keep (jobs, output, sealed specs). Archives come here too."""


class Sweeper:
    """Component. `leader`: this server holds the lease; `hearing`: the engine is there, so silence is the node's own."""

    name = "sweeper"

    def __init__(
        self,
        *,
        store: JobStore,
        aftermath: Aftermath,
        clock: Clock,
        counters: Counters,
        leader: Callable[[], bool] = lambda: True,
        hearing: Callable[[], bool] = lambda: True,
        lost_after_seconds: float = LOST_AFTER_SECONDS,
        retention: Sequence[RetentionHook] = (),
    ) -> None:
        self._store = store
        self._aftermath = aftermath
        self._clock = clock
        self._counters = counters
        self._leader = leader
        self._hearing = hearing
        self._lost_after = timedelta(seconds=lost_after_seconds)
        self._retention = retention
        self._hearing_since: float | None = None
        self._next_retention = 0.0

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        self._next_retention = self._clock.monotonic() + SWEEP_SECONDS
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            try:
                await self.step()
            except CorralError as error:
                log.warning("Cannot sweep tasks: %s; trying again", error, extra={"action": "sweep_failed"})

    async def step(self) -> None:
        """One pass. Does nothing on a server that does not hold the lease."""
        now = self._clock.monotonic()
        if not self._hearing():
            self._hearing_since = None
        elif self._hearing_since is None:
            self._hearing_since = now
        if not self._leader():
            return
        changed = await self._store.expire(now=self._clock.now(), lost_before=self._lost_before(now))
        self._counters.add("tasks_swept_total", len(changed.tasks))
        self._aftermath.of(changed)
        if now >= self._next_retention:
            self._next_retention = now + RETENTION_SECONDS
            await self._retain()

    def _lost_before(self, now: float) -> datetime:
        if self._hearing_since is None or now - self._hearing_since < LISTEN_SECONDS:
            return _NEVER
        return self._clock.now() - self._lost_after

    async def _retain(self) -> None:
        for hook in self._retention:
            try:
                await hook(self._clock.now())
            except CorralError as error:
                log.warning("Cannot clean up: %s; trying again in an hour", error, extra={"action": "retention_failed"})
