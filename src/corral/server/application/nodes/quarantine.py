"""Revokes nodes that flood, with the reason shown. Whoever reads a stream counts through `counter(kind)`; that never blocks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from corral.domain.errors import CorralError, NotFound
from corral.runtime.clock import Clock
from corral.server.application.nodes.flood import FloodGuard
from corral.server.application.nodes.removal import Removal
from corral.server.application.ports.access import Caller

log = logging.getLogger("corral.nodes")

RETRY_SECONDS: Final = 1.0
SYSTEM: Final = Caller(name="corral", kind="system")


class Quarantine:
    """Component. `expected` = kind → messages a second of a well-behaved node."""

    name = "quarantine"

    def __init__(self, *, removal: Removal, clock: Clock, expected: Mapping[str, float]) -> None:
        self._removal = removal
        self._clock = clock
        self._guard = FloodGuard(clock, expected)
        self._guilty: dict[str, str] = {}
        self._wake = asyncio.Event()

    def counter(self, kind: str) -> Callable[[Mapping[str, int]], None]:
        """A function that takes node → messages of one batch of this kind."""

        def count(sent: Mapping[str, int]) -> None:
            for node, reason in self._guard.count(kind, sent):
                self.accuse(node, reason)

        return count

    def accuse(self, node: str, reason: str) -> None:
        """Whoever judged by other figures than counts per kind. Never blocks."""
        self._guilty.setdefault(node, reason)
        self._wake.set()

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        while True:
            await self._wake.wait()
            self._wake.clear()
            for node, reason in list(self._guilty.items()):
                if await self._revoke(node, reason):
                    del self._guilty[node]
            if self._guilty:
                await self._clock.sleep(RETRY_SECONDS)
                self._wake.set()

    async def _revoke(self, node: str, reason: str) -> bool:
        try:
            await self._removal.revoke(SYSTEM, node, reason=f"quarantined: {reason}")
        except NotFound:
            return True
        except CorralError as error:
            log.error("Cannot quarantine %s: %s", node, error, extra={"action": "quarantine_failed", "node": node})
            return False
        log.warning("Quarantined %s: %s", node, reason, extra={"action": "quarantined", "node": node})
        return True
