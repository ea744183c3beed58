"""Facts and metrics on their way to the server: facts on connect and when they changed, metrics each minute or while watched."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from corral.agent.daemon.facts import collect, steady
from corral.agent.daemon.metrics import Sampler
from corral.agent.link.port import Link, LinkDown
from corral.protocol import codec, subjects
from corral.protocol.messages import FactsMessage, MetricsMessage
from corral.runtime.backoff import spread
from corral.runtime.clock import Clock

WATCH_SAMPLE_SECONDS: Final = 2.0
WATCH_SECONDS_MAX: Final = 600.0


class FactsReporter:
    """Component: reads the facts every `every_seconds`, sends them when one changed and on every connect."""

    name = "facts"

    def __init__(
        self,
        *,
        node_id: str,
        link: Link,
        clock: Clock,
        every_seconds: float,
        gather: Callable[[], dict[str, Any]] = collect,
    ) -> None:
        self._subject = subjects.up(node_id, "facts")
        self._link = link
        self._clock = clock
        self._every_seconds = every_seconds
        self._gather = gather
        self._sent: dict[str, Any] | None = None

    async def run(self, ready: Callable[[], None]) -> None:
        self._link.on_connect(self._send)
        ready()
        while True:
            await self._clock.sleep(spread(self._every_seconds, 0.1))
            if steady(self._gather()) != self._sent:
                await self._send()

    async def _send(self) -> None:
        facts = self._gather()
        with contextlib.suppress(LinkDown):
            await self._link.publish(self._subject, codec.encode(FactsMessage(facts=facts)))
            self._sent = steady(facts)


class MetricsReporter:
    """Component: one sample every `every_seconds`, every two seconds while `watch` says that somebody looks.

    `more` are figures of others; ours win where names are the same.
    """

    name = "metrics"

    def __init__(
        self,
        *,
        node_id: str,
        link: Link,
        clock: Clock,
        every_seconds: float,
        more: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self._more = more
        self._subject = subjects.up(node_id, "metrics")
        self._link = link
        self._clock = clock
        self._every_seconds = every_seconds
        self._sampler = Sampler(clock)
        self._watched_until = 0.0
        self._woken = asyncio.Event()
        self.latest: dict[str, float] = {}

    def watch(self, seconds: float) -> None:
        """Sample often for so long (at most ten minutes); asking again prolongs it."""
        self._watched_until = self._clock.monotonic() + min(max(seconds, 0.0), WATCH_SECONDS_MAX)
        self._woken.set()

    async def run(self, ready: Callable[[], None]) -> None:
        self._sampler.sample()  # the base of the first traffic
        ready()
        await self._clock.sleep(spread(min(WATCH_SAMPLE_SECONDS, self._every_seconds), 0.5))
        while True:
            await self._sample()
            await self._wait()

    async def _wait(self) -> None:
        if self._clock.monotonic() < self._watched_until:
            await self._clock.sleep(WATCH_SAMPLE_SECONDS)
            return
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), spread(self._every_seconds, 0.1))

    async def _sample(self) -> None:
        self.latest = {**self._more(), **self._sampler.sample()}
        if not self._link.connected:
            return
        message = MetricsMessage(at=round(self._clock.wall(), 3), values=self.latest)
        with contextlib.suppress(LinkDown):
            await self._link.publish(self._subject, codec.encode(message))
