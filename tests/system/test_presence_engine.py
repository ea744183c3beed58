"""Presence and revocation on the real engine: seen within two seconds, cut within two seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from corral.bus.jetstream import JetStreamEngine
from corral.domain.node import Node, Presence
from corral.protocol import subjects
from corral.protocol.codec import encode
from corral.protocol.messages import BeatMessage
from corral.runtime.clock import SystemClock
from corral.runtime.lifecycle import TaskSet
from corral.server.application.nodes.presence import PresenceKeeper
from corral.server.application.nodes.registry import Registry
from corral.server.application.nodes.removal import Removal
from corral.server.application.ports.access import Caller
from corral.server.infrastructure.nats.credentials import RealmIssuer
from corral.server.infrastructure.nats.presence import PresenceFeed
from corral.testing.engine import NodeCredential, RunningEngine
from corral.testing.presence_stores import MemoryPresenceLog
from corral.testing.raw_node import RawNode
from corral.testing.stores import (
    MemoryDatabase,
    MemoryDeadLetters,
    MemoryJobQueries,
    MemoryJobStore,
    MemoryNodeStore,
)

pytestmark = pytest.mark.engine


class Stage:
    def __init__(self, engine: RunningEngine, server: JetStreamEngine) -> None:
        clock = SystemClock(0)
        self.engine = engine
        self.db = MemoryDatabase()
        self.fleet = Registry()
        store = MemoryNodeStore(self.db)
        issuer = RealmIssuer(
            realm=engine.realm,
            accounts=server.accounts,
            signing_keys=dict,
            engine=(lambda: [engine.url], ""),
            nodes=lambda: len(self.fleet),
        )
        self.removal = Removal(
            fleet=self.fleet,
            store=store,
            credentials=issuer,
            jobs=(MemoryJobStore(self.db), MemoryJobQueries(self.db)),
            clock=clock,
        )
        self.feed = PresenceFeed(
            streams=server.streams,
            accounts=server.accounts,
            keeper=PresenceKeeper(registry=self.fleet, store=store, log=MemoryPresenceLog(self.db), clock=clock),
            letters=MemoryDeadLetters(self.db),
            clock=clock,
        )
        self.clock = clock

    def enrol(self, id: str) -> tuple[NodeCredential, NodeCredential]:
        daemon, worker = self.engine.node(id, "daemon"), self.engine.node(id, "worker")
        node = Node(id=id, enrolled_at=self.clock.now(), daemon_key=daemon.public, worker_key=worker.public)
        self.db.nodes[id] = node
        self.fleet.upsert(node)
        return daemon, worker

    async def until(self, condition: Callable[[Node], bool], node: str = "web-1", *, seconds: float = 2.0) -> None:
        """Changes of the node until one meets the condition."""
        with self.fleet.subscribe() as changes:
            async with asyncio.timeout(seconds):
                while not condition(self.fleet.get(node)):
                    await changes.next()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    tasks = TaskSet("test")
    async with RunningEngine(tmp_path / "engine") as engine:
        out = Stage(engine, await engine.connect())
        ready = asyncio.Event()
        tasks.start(out.feed.run(ready.set), name="feed")
        async with asyncio.timeout(10):
            await ready.wait()
        yield out
        await tasks.close()


def online(node: Node) -> bool:
    return node.presence is Presence.ONLINE


def offline(node: Node) -> bool:
    return node.presence is Presence.OFFLINE


async def test_a_daemon_that_comes_goes_and_beats_is_followed(stage: Stage) -> None:
    daemon, worker = stage.enrol("web-1")
    link, other = await RawNode.connect(stage.engine.url, daemon), await RawNode.connect(stage.engine.url, worker)
    await stage.until(online)
    await link.publish(subjects.up("web-1", "beat"), encode(BeatMessage(sent=stage.clock.wall())))
    await link.flush()
    await other.close()
    await stage.until(lambda node: node.worker_down)
    assert online(stage.fleet.get("web-1"))
    await link.close()
    await stage.until(offline)
    assert "its link closed" in stage.fleet.get("web-1").presence_reason
    again = await RawNode.connect(stage.engine.url, daemon)
    await stage.until(online)
    await again.close()


async def test_a_revoked_node_is_cut_off_within_two_seconds_and_others_are_not(stage: Stage) -> None:
    cut, kept = stage.enrol("web-1")[0], stage.enrol("web-2")[0]
    first, second = await RawNode.connect(stage.engine.url, cut), await RawNode.connect(stage.engine.url, kept)
    await stage.until(online)
    await stage.until(online, "web-2")
    await stage.removal.revoke(Caller(name="admin"), "web-1", reason="stolen")
    await stage.until(lambda node: offline(node) and node.revoked)
    assert online(stage.fleet.get("web-2")) and second.connected
    await first.close()
    await second.close()
