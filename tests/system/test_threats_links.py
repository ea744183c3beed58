"""A credential in use twice, and a link that floods, as the real engine tells of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from corral.domain.node import Node
from corral.protocol import subjects
from corral.runtime.clock import SystemClock
from corral.runtime.lifecycle import TaskSet
from corral.server.application.nodes.doubles import DoubleWatch
from corral.server.application.nodes.link_rates import LinkRates
from corral.server.application.nodes.presence import PresenceKeeper
from corral.server.application.nodes.registry import Registry
from corral.server.infrastructure.nats.links import LinkWatch
from corral.testing.engine import RunningEngine
from corral.testing.presence_stores import MemoryPresenceLog
from corral.testing.raw_node import RawNode
from corral.testing.stores import MemoryDatabase, MemoryNodeStore

pytestmark = pytest.mark.engine


async def eventually(done: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not done():
            await asyncio.sleep(0.05)


async def test_a_copied_credential_and_a_flooding_link_are_seen(tmp_path: Path) -> None:
    clock = SystemClock(0)
    async with RunningEngine(tmp_path / "engine") as engine:
        server = await engine.connect()
        credential, other = engine.node("web-1", "sim"), engine.node("web-2", "sim")
        fleet = Registry()
        for each in (credential, other):
            fleet.upsert(
                Node(
                    id=each.node,
                    enrolled_at=datetime(2026, 1, 1, tzinfo=UTC),
                    daemon_key=each.public,
                    worker_key=each.public,
                )
            )
        db = MemoryDatabase()
        keeper = PresenceKeeper(registry=fleet, store=MemoryNodeStore(db), log=MemoryPresenceLog(db), clock=clock)
        accused: dict[str, str] = {}
        watch = LinkWatch(
            accounts=server.accounts,
            keeper=keeper,
            accuse=accused.__setitem__,
            clock=clock,
            rates=LinkRates(seconds=1.0),
            doubles=DoubleWatch(held_seconds=0.5),
        )
        tasks = TaskSet("test")
        ready = asyncio.Event()
        tasks.start(watch.run(ready.set), name="links")
        await ready.wait()
        first, calm = await RawNode.connect(engine.url, credential), await RawNode.connect(engine.url, other)
        await asyncio.sleep(1.5)
        assert keeper.warning("web-1") == ""
        second = await RawNode.connect(engine.url, credential)
        await eventually(lambda: "in use 2 times at once, from 127.0.0.1" in keeper.warning("web-1"))
        assert keeper.warning("web-2") == ""
        await second.close()
        await eventually(lambda: keeper.warning("web-1") == "")

        async def flood() -> None:
            while not accused:
                for _ in range(1000):
                    await first.publish(subjects.up("web-1", "beat"), b"x")
                await first.flush()

        await calm.publish(subjects.up("web-2", "beat"), b"x")
        await asyncio.wait_for(flood(), 20)
        assert list(accused) == ["web-1"]
        assert "messages a second, over the limit" in accused["web-1"]
        assert (await server.accounts.sent_by_key())[other.public] >= 1
        await tasks.close()
        for node in (first, calm):
            await node.close()
