"""Facts reach SQL and selectors, metrics reach memory; poison and strangers reach neither."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from corral.bus.memory import MemoryBus
from corral.bus.port import BusMessage
from corral.domain.errors import Unavailable
from corral.domain.node import Node
from corral.protocol import subjects
from corral.protocol.codec import encode
from corral.protocol.messages import FactsMessage, MetricsMessage
from corral.server.application.nodes.registry import Registry
from corral.server.application.nodes.samples import Samples
from corral.server.infrastructure.nats.sayings import FactsFeed, MetricsFeed
from corral.testing.clock import FakeClock
from corral.testing.stores import MemoryDatabase, MemoryDeadLetters, MemoryNodeStore


class Nodes(MemoryNodeStore):
    """Counts the statements; `down` = the database does not answer."""

    down = False

    def __init__(self, db: MemoryDatabase) -> None:
        super().__init__(db)
        self.statements: list[set[str]] = []

    async def set_facts(self, facts: Mapping[str, Mapping[str, Any]]) -> None:
        if self.down:
            raise Unavailable("cannot write: the database is away")
        self.statements.append(set(facts))
        await super().set_facts(facts)


class Stage:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.bus = MemoryBus(clock=self.clock)
        self.db = MemoryDatabase()
        self.store = Nodes(self.db)
        self.fleet = Registry()
        self.samples = Samples()
        self.counted: list[Mapping[str, int]] = []
        for id in ("a", "b"):
            self.db.nodes[id] = Node(id=id, enrolled_at=self.clock.now())
            self.fleet.upsert(self.db.nodes[id])
        shared: dict[str, Any] = {
            "streams": self.bus.streams,
            "registry": self.fleet,
            "letters": MemoryDeadLetters(self.db),
            "clock": self.clock,
            "count": self.counted.append,
        }
        self.facts = FactsFeed(store=self.store, **shared)
        self.metrics = MetricsFeed(samples=self.samples, **shared)

    def send(self, kind: str, node: str, body: bytes) -> None:
        self.bus.arrive(subjects.up(node, kind), body)

    async def batch(self, stream: str) -> list[BusMessage]:
        return list(await self.bus.streams.batches(stream, stream).next(limit=500, wait_seconds=0))


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_facts_of_a_batch_are_one_statement_and_selectors_see_them(stage: Stage) -> None:
    for node in ("a", "b", "stranger"):
        stage.send("facts", node, encode(FactsMessage(facts={"os": "linux", "cpus": 4})))
    await stage.facts.take(await stage.batch(subjects.FACTS))
    assert stage.store.statements == [{"a", "b"}]
    assert stage.fleet.ids('facts["cpus"] >= 4') == ["a", "b"]
    assert stage.db.nodes["a"].facts == {"os": "linux", "cpus": 4}
    assert await stage.batch(subjects.FACTS) == []
    stage.send("facts", "a", encode(FactsMessage(facts={"os": "linux", "cpus": 4})))
    await stage.facts.take(await stage.batch(subjects.FACTS))
    assert len(stage.store.statements) == 1


async def test_facts_that_cannot_be_stored_come_again(stage: Stage) -> None:
    stage.send("facts", "a", encode(FactsMessage(facts={"os": "linux"})))
    stage.store.down = True
    with pytest.raises(Unavailable):
        await stage.facts.take(await stage.batch(subjects.FACTS))
    assert stage.fleet.get("a").facts == {}
    stage.store.down = False
    await stage.clock.advance(6)
    await stage.facts.take(await stage.batch(subjects.FACTS))
    assert stage.fleet.get("a").facts == {"os": "linux"}


async def test_poison_goes_to_the_dead_letters_and_the_rest_is_stored(stage: Stage) -> None:
    huge = encode(FactsMessage(facts={"x": "y" * (64 << 10)}))
    many = encode(FactsMessage(facts={f"k{i}": i for i in range(257)}))
    for body in (b"{", huge, many, b'{"facts":[]}'):
        stage.send("facts", "a", body)
        stage.send("facts", "b", encode(FactsMessage(facts={"n": len(body)})))
        await stage.facts.take(await stage.batch(subjects.FACTS))
        assert stage.fleet.get("b").facts == {"n": len(body)}
    assert [letter.node for letter in stage.db.dead_letters] == ["a"] * 4
    assert all(len(letter.body) <= 4096 for letter in stage.db.dead_letters)
    assert stage.fleet.get("a").facts == {}


async def test_samples_keep_a_believable_time_and_every_message_is_counted(stage: Stage) -> None:
    now = stage.clock.wall()
    for at in (now - 60, now - 9999, now + 9999):
        stage.send("metrics", "a", encode(MetricsMessage(at=at, values={"load1": 0.5})))
    stage.send("metrics", "b", b"nonsense")
    await stage.metrics.take(await stage.batch(subjects.METRICS))
    assert [sample.at for sample in stage.samples.read("a")] == [now - 60, now, now]
    assert stage.counted == [{"a": 3, "b": 1}]
    assert await stage.batch(subjects.METRICS) == []
