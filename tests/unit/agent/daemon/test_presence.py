"""Beats over the link in memory: when they go out, what they copy, and what a dead worker makes of them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from corral.agent.daemon.presence import Presence
from corral.agent.daemon.reporters import FactsReporter, MetricsReporter
from corral.domain.errors import Unavailable
from corral.protocol import codec, subjects
from corral.protocol.messages import BeatMessage, FactsMessage, MetricsMessage
from corral.runtime.lifecycle import TaskSet
from corral.testing.clock import FakeClock
from corral.testing.link import MemoryEngine

WORKER: dict[str, Any] = {
    "digest": "00000000000000ff",
    "running": ["J1.1", "J2.1"],
    "queued": 3,
    "spool": 4,
    "spool_bytes": 5,
    "slots": 10,
    "factor": 0.5,
    "state_revision": 6,
    "policy_revision": 7,
    "linked": True,
}


class Scene:
    def __init__(self) -> None:
        self.engine = MemoryEngine()
        self.link = self.engine.link()
        self.clock = FakeClock()
        self.tasks = TaskSet("scene")
        self.worker: dict[str, Any] | None = WORKER

    async def status(self) -> dict[str, Any]:
        if self.worker is None:
            raise Unavailable("cannot ask the worker: it is not there")
        return self.worker

    def start(self, *parts: Any) -> None:
        for part in (*parts, self.link):
            self.tasks.start(part.run(lambda: None), name="part")

    def sent(self, kind: str) -> list[bytes]:
        return [m.data for m in self.engine.published if m.subject == subjects.up("web-1", kind)]

    def presence(self) -> Presence:
        return Presence(
            node_id="web-1", link=self.link, status=self.status, clock=self.clock, boot_id="b1", restarts=lambda: 2
        )


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    yield scene
    await scene.tasks.close()


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_the_first_beat_goes_out_at_once_with_what_the_worker_holds(scene: Scene) -> None:
    scene.start(scene.presence())
    await settle()
    beat = codec.decode(BeatMessage, scene.sent("beat")[0])
    assert beat == BeatMessage(
        sent=scene.clock.wall(),
        boot_id="b1",
        digest="00000000000000ff",
        worker="up",
        running=2,
        queued=3,
        spool=4,
        spool_bytes=5,
        slots=10,
        factor=0.5,
        state_revision=6,
        policy_revision=7,
        version=beat.version,
        restarts=2,
    )


async def test_beats_come_every_ten_seconds_with_jitter(scene: Scene) -> None:
    scene.start(scene.presence())
    await settle()
    for _ in range(100):
        await scene.clock.advance(1)
    assert 9 <= len(scene.sent("beat")) - 1 <= 11
    moments = [codec.decode(BeatMessage, data).sent for data in scene.sent("beat")]
    gaps = [round(after - before, 3) for before, after in itertools.pairwise(moments)]
    assert all(9 <= gap <= 11 for gap in gaps)
    assert len(set(gaps)) > 1


async def test_a_worker_that_does_not_answer_is_told_as_down(scene: Scene) -> None:
    scene.worker = None
    scene.start(scene.presence())
    await settle()
    beat = codec.decode(BeatMessage, scene.sent("beat")[0])
    assert (beat.worker, beat.digest) == ("down", "")


async def test_a_worker_that_comes_up_between_two_beats_is_told_within_a_second(scene: Scene) -> None:
    scene.worker = None
    scene.start(scene.presence())
    await settle()
    await scene.clock.advance(3)
    scene.worker = WORKER
    await scene.clock.advance(1)
    assert [codec.decode(BeatMessage, data).worker for data in scene.sent("beat")] == ["down", "up"]


async def test_without_a_link_nothing_is_sent_and_a_reconnect_beats_at_once(scene: Scene) -> None:
    scene.start(scene.presence())
    await settle()
    scene.engine.down()
    await scene.clock.advance(60)
    assert len(scene.sent("beat")) == 1
    scene.engine.up()
    await settle()
    assert len(scene.sent("beat")) == 2


async def test_facts_go_out_on_connect_and_when_one_changed(scene: Scene) -> None:
    facts = {"os": "debian", "uptime": 1.0}
    reporter = FactsReporter(
        node_id="web-1", link=scene.link, clock=scene.clock, every_seconds=300, gather=lambda: dict(facts)
    )
    scene.start(reporter)
    await settle()
    assert [codec.decode(FactsMessage, data).facts for data in scene.sent("facts")] == [facts]
    facts["uptime"] = 400.0
    await scene.clock.advance(400)
    assert len(scene.sent("facts")) == 1
    facts["os"] = "alpine"
    await scene.clock.advance(400)
    assert codec.decode(FactsMessage, scene.sent("facts")[1]).facts == facts


async def test_metrics_go_out_while_somebody_watches_every_two_seconds(scene: Scene) -> None:
    reporter = MetricsReporter(node_id="web-1", link=scene.link, clock=scene.clock, every_seconds=60)
    scene.start(reporter)
    await settle()
    await scene.clock.advance(5)
    assert len(scene.sent("metrics")) == 1
    reporter.watch(20)
    await settle()
    for _ in range(40):
        await scene.clock.advance(1)
    assert 9 <= len(scene.sent("metrics")) - 1 <= 12
    sample = codec.decode(MetricsMessage, scene.sent("metrics")[-1])
    assert "cpu_percent" in sample.values
