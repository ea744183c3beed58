"""What nodes say of themselves: facts into SQL and the registry, metrics into memory. Batches, one SQL statement a batch.

Everything in them is a node's own claim: sizes are bounded, unknown nodes are dropped, poison goes to the dead letters. A batch is
acknowledged after it was stored; the newest facts of a node within a batch win.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from corral.bus.port import Batches, BusError, BusMessage, Streams
from corral.domain.errors import CorralError
from corral.protocol.codec import BadMessage, decode
from corral.protocol.messages import FactsMessage, MetricsMessage
from corral.protocol.subjects import FACTS, METRICS, node_of
from corral.runtime.backoff import RECONNECT
from corral.runtime.clock import Clock
from corral.server.application.nodes.registry import Registry
from corral.server.application.nodes.samples import Samples
from corral.server.application.ports.jobs import DeadLetter, DeadLetters
from corral.server.application.ports.nodes import NodeStore
from corral.server.infrastructure.nats.presence import keep_letters

log = logging.getLogger("corral.nodes")

BATCH: Final = 500
WAIT_SECONDS: Final = 5.0
FACTS_MAX: Final = 256
FACTS_BYTES_MAX: Final = 64 << 10
LETTER_BYTES: Final = 4096

Count = Callable[[Mapping[str, int]], None]


class _StreamFeed:
    """A component that takes batches of one stream, stores what they say, and acknowledges them."""

    def __init__(
        self, *, stream: str, streams: Streams, registry: Registry, letters: DeadLetters, clock: Clock, count: Count
    ) -> None:
        self._stream = stream
        self._batches: Batches = streams.batches(stream, stream)
        self._registry = registry
        self._letters = letters
        self._clock = clock
        self._count = count

    @property
    def name(self) -> str:
        return self._stream

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        failures = 0
        while True:
            try:
                await self.take(await self._batches.next(limit=BATCH, wait_seconds=WAIT_SECONDS))
                failures = 0
            except CorralError as error:
                if failures == 0 or not isinstance(error, BusError):
                    log.warning("Cannot take %s: %s", self._stream, error, extra={"action": "feed_failed"})
                await self._clock.sleep(RECONNECT.delay(failures))
                failures += 1

    async def take(self, messages: Sequence[BusMessage]) -> None:
        """One batch. Raises CorralError without acknowledging when it cannot be stored: it comes again."""
        if not messages:
            return
        self._count(Counter(node_of(message.subject) for message in messages))
        letters: list[DeadLetter] = []
        said: list[tuple[str, Any]] = []
        for message in messages:
            node = node_of(message.subject)
            if node not in self._registry:
                continue
            try:
                said.append((node, self._read(message.data)))
            except BadMessage as error:
                letters.append(
                    DeadLetter(
                        subject=message.subject,
                        node=node,
                        reason=str(error),
                        body=message.data[:LETTER_BYTES],
                        at=self._clock.now(),
                    )
                )
        await self._store(said)
        if letters:
            await keep_letters(self._letters, letters)
        await self._batches.ack(messages)

    def _read(self, data: bytes) -> Any:
        raise NotImplementedError

    async def _store(self, said: Sequence[tuple[str, Any]]) -> None:
        raise NotImplementedError


class FactsFeed(_StreamFeed):
    """Facts of machines; unchanged ones cost no SQL."""

    def __init__(
        self,
        *,
        streams: Streams,
        registry: Registry,
        store: NodeStore,
        letters: DeadLetters,
        clock: Clock,
        count: Count = lambda sent: None,
    ) -> None:
        super().__init__(stream=FACTS, streams=streams, registry=registry, letters=letters, clock=clock, count=count)
        self._nodes = store

    def _read(self, data: bytes) -> Mapping[str, Any]:
        if len(data) > FACTS_BYTES_MAX:
            raise BadMessage(f"cannot keep facts of {len(data)} bytes: at most {FACTS_BYTES_MAX}", element="facts")
        facts = decode(FactsMessage, data).facts
        if len(facts) > FACTS_MAX:
            raise BadMessage(f"cannot keep {len(facts)} facts: at most {FACTS_MAX}", element="facts")
        return facts

    async def _store(self, said: Sequence[tuple[str, Any]]) -> None:
        changed = {node: facts for node, facts in dict(said).items() if self._registry.get(node).facts != facts}
        if not changed:
            return
        await self._nodes.set_facts(changed)
        for node, facts in changed.items():
            if node in self._registry:
                self._registry.upsert(replace(self._registry.get(node), facts=facts))


class MetricsFeed(_StreamFeed):
    """Samples; the time kept is the server's, so that a wrong clock confuses no chart."""

    def __init__(
        self,
        *,
        streams: Streams,
        registry: Registry,
        samples: Samples,
        letters: DeadLetters,
        clock: Clock,
        count: Count = lambda sent: None,
    ) -> None:
        super().__init__(stream=METRICS, streams=streams, registry=registry, letters=letters, clock=clock, count=count)
        self._samples = samples

    def _read(self, data: bytes) -> MetricsMessage:
        return decode(MetricsMessage, data)

    async def _store(self, said: Sequence[tuple[str, Any]]) -> None:
        now = self._clock.wall()
        for node, sample in said:
            # A node that was cut off sends old samples on return: its own time counts as long as it lies in the last hour.
            at = sample.at if now - 3600 <= sample.at <= now else now
            self._samples.add(node, at, sample.values)
