"""Which of several servers leads: a lease in SQL with a fencing token, renewed while it lasts.

The leader runs what must run once: expiry sweeps, retention, presence writing, claims pushes. Work that must not be done twice asks
`leading` right before it acts; a server that could not renew stops leading before its lease can be taken by another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from corral.domain.errors import CorralError
from corral.runtime.clock import Clock
from corral.server.application.ports.access import LeaseStore

log = logging.getLogger("corral.leadership")


class Leadership:
    """Component. `holder` names this server process; `lease_seconds` bounds how long nobody leads after a crash."""

    name = "leadership"

    def __init__(self, *, leases: LeaseStore, holder: str, clock: Clock, lease_seconds: float = 6.0) -> None:
        self._leases = leases
        self._holder = holder
        self._clock = clock
        self._seconds = lease_seconds
        self._until = float("-inf")
        self.token: int | None = None

    @property
    def leading(self) -> bool:
        """Whether this server leads now, by the monotonic clock and with a margin for the write that follows."""
        return self._clock.monotonic() < self._until - self._seconds / 6

    async def run(self, ready: Callable[[], None]) -> None:
        await self._renew()
        ready()
        try:
            while True:
                await self._clock.sleep(self._seconds / 3)
                await self._renew()
        finally:
            self._until = float("-inf")
            await self._leases.release("leader", self._holder)

    async def _renew(self) -> None:
        asked = self._clock.monotonic()
        was = self.leading
        try:
            token = await self._leases.acquire("leader", self._holder, seconds=self._seconds, now=self._clock.now())
        except CorralError as error:
            log.warning("Cannot renew the leader lease: %s", error, extra={"action": "lease_failed"})
            return
        self.token = token
        self._until = asked + self._seconds if token is not None else float("-inf")
        if self.leading != was:
            log.info(
                "this server %s", "leads" if self.leading else "follows", extra={"action": "lease", "token": token}
            )
