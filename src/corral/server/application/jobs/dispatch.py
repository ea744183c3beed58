"""The dispatcher: pushes what is due to nodes, at once when told, and again until somebody answers.

The task rows are the queue; there is no other. What a use case or ingest just committed is handed over in memory and pushed
without reading it again; what stays unanswered comes due in SQL and the lease holder's sweep pushes it again. Losing anything
here is harmless: it comes due, or the node's sync asks for it. Sweeps pause while ingest is behind, or a backlog of unread
answers would make us repeat every question.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from corral.domain.errors import CorralError
from corral.runtime import failpoint
from corral.runtime.clock import Clock
from corral.server.application.jobs.counters import Counters
from corral.server.application.ports.fleet import Fleet
from corral.server.application.ports.jobs import Delivery, Down, JobStore

SWEEP_SECONDS: Final = 0.5
SWEEP_LIMIT: Final = 2000
"""Rows a sweep takes; with SWEEP_SECONDS it bounds what a fleet of dead nodes can cost the database."""
SLICE: Final = 64
"""Publishes between two yields to the loop: signing 64 messages takes about 4 ms."""
WAITING_MAX: Final = 100_000
PUSHES_TO_OFFLINE: Final = 3
"""An offline node is pushed to this often all the same (presence may be wrong for some seconds), then only its sync serves it."""

log = logging.getLogger("corral.dispatch")


class Dispatcher:
    """Component. `hand` never waits. One per server; `leader` says whether this one sweeps, `behind` whether ingest lags."""

    name = "dispatcher"

    def __init__(
        self,
        *,
        store: JobStore,
        down: Down,
        fleet: Fleet,
        clock: Clock,
        counters: Counters,
        leader: Callable[[], bool] = lambda: True,
        behind: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._down = down
        self._fleet = fleet
        self._clock = clock
        self._counters = counters
        self._leader = leader
        self.behind = behind
        self._waiting: deque[Delivery] = deque()
        self._wake = asyncio.Event()
        self._failing = False

    def hand(self, deliveries: Sequence[Delivery]) -> None:
        """Push these next. Beyond WAITING_MAX they are left to the sweep."""
        if not deliveries:
            return
        room = WAITING_MAX - len(self._waiting)
        self._waiting.extend(deliveries[:room] if room < len(deliveries) else deliveries)
        self._wake.set()

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        next_sweep = self._clock.monotonic()
        while True:
            self._wake.clear()
            await self.push_waiting()
            now = self._clock.monotonic()
            if now >= next_sweep and self._leader():
                await self.sweep()
            if now >= next_sweep:
                next_sweep = self._clock.monotonic() + SWEEP_SECONDS
            try:
                async with asyncio.timeout(max(0.0, next_sweep - self._clock.monotonic())):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def push_waiting(self) -> None:
        """Push everything handed over so far, in slices."""
        while self._waiting:
            await self._push([self._waiting.popleft() for _ in range(min(SLICE, len(self._waiting)))])
            await self._clock.sleep(0)

    async def sweep(self) -> None:
        """Push what SQL says is due, oldest first; at most SWEEP_LIMIT rows."""
        if self.behind():
            self._counters.add("dispatch_paused_total")
            return
        try:
            due = await self._store.due(now=self._clock.now(), limit=SWEEP_LIMIT)
        except CorralError as error:
            self._failed("read what is due", error)
            return
        if not due:
            return
        online = self._fleet.online({d.node for d in due})
        worth = [d for d in due if d.node in online or d.published <= PUSHES_TO_OFFLINE]
        self._counters.add("dispatch_skipped_offline_total", len(due) - len(worth))
        self._counters.add("dispatch_republished_total", sum(1 for d in worth if d.published > 0))
        for start in range(0, len(worth), SLICE):
            await self._push(worth[start : start + SLICE])
            # What was just submitted must not wait behind a long sweep.
            await self.push_waiting()
            await self._clock.sleep(0)

    async def _push(self, deliveries: Sequence[Delivery]) -> None:
        try:
            await self._down.push(deliveries)
        except CorralError as error:
            self._counters.add("dispatch_errors_total", len(deliveries))
            self._failed(f"push {len(deliveries)} messages to nodes", error)
            return
        failpoint.hit("after_publish")
        self._counters.add("dispatch_published_total", len(deliveries))
        if self._failing:
            self._failing = False
            log.info("Pushing to nodes works again", extra={"action": "dispatch_recovered"})

    def _failed(self, what: str, error: CorralError) -> None:
        # Said once per outage: the sweep comes by twice a second.
        if not self._failing:
            log.warning("Cannot %s: %s; it comes due again", what, error, extra={"action": "dispatch_failed"})
        self._failing = True
