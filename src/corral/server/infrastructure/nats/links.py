"""Watches the links of nodes at the engine: one that floods is handed to the quarantine, a credential in use twice is said.

Twice a second the engine is asked how much it received in all, which costs one message. Only when that is more than one link may
send is it asked link by link.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from corral.bus.port import Accounts, BusError, LinkEvent
from corral.runtime.clock import Clock
from corral.server.application.nodes.doubles import DoubleWatch
from corral.server.application.nodes.link_rates import LIMIT_PER_SECOND, LinkRates
from corral.server.application.nodes.presence import PresenceKeeper

log = logging.getLogger("corral.links")

LOOK_SECONDS: Final = 0.5


class LinkWatch:
    """Component; every server runs one. `accuse(node, reason)` puts a node under quarantine."""

    name = "links"

    def __init__(
        self,
        *,
        accounts: Accounts,
        keeper: PresenceKeeper,
        accuse: Callable[[str, str], None],
        clock: Clock,
        rates: LinkRates | None = None,
        doubles: DoubleWatch | None = None,
    ) -> None:
        self._accounts = accounts
        self._keeper = keeper
        self._accuse = accuse
        self._clock = clock
        self._rates = rates or LinkRates()
        self._doubles = doubles or DoubleWatch()
        self._said: frozenset[str] = frozenset()
        self._received: int | None = None
        self._looked_at = 0.0

    async def run(self, ready: Callable[[], None]) -> None:
        await self._accounts.events(self._hear)
        ready()
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except BusError:
                # Whoever has the connection says that the engine is away; counters begin anew with it.
                self._received = None
                self._rates.forget()
            self._say_doubles()

    def engine_came_back(self) -> None:
        """After every (re)connect: all links are new."""
        self._doubles.clear()

    def _hear(self, event: LinkEvent) -> None:
        if event.connected:
            self._doubles.up(event.key, event.link, event.host, self._clock.monotonic())
        else:
            self._doubles.down(event.key, event.link)

    async def _look(self) -> None:
        received, now = await self._accounts.received(), self._clock.monotonic()
        before, passed = self._received, now - self._looked_at
        self._received, self._looked_at = received, now
        if before is None or passed <= 0 or (received - before) / passed <= LIMIT_PER_SECOND:
            self._rates.forget()
            return
        sent = await self._accounts.sent_by_key()
        for key, rate in self._rates.look(sent, self._clock.monotonic()).items():
            owner = self._keeper.role_of(key)
            if owner is not None:
                self._accuse(
                    owner[0], f"flooding: {rate:.0f} messages a second, over the limit of {LIMIT_PER_SECOND:g}"
                )

    def _say_doubles(self) -> None:
        found: dict[str, str] = {}
        for key, text in self._doubles.doubled(self._clock.monotonic()).items():
            owner = self._keeper.role_of(key)
            if owner is not None:
                found[owner[0]] = text
        for node in found.keys() - self._said:
            log.warning(
                "Node %s: %s; revoke it unless you know why",
                node,
                found[node],
                extra={"action": "duplicate_session", "node": node},
            )
        self._said = frozenset(found)
        self._keeper.warn(found)
