"""The same tests over the engine in memory and the real one: `rig` is the server's side plus what a node and a person do to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from corral.bus.claims import KeyPair
from corral.bus.jetstream import JetStreamEngine
from corral.bus.memory import MemoryBus
from corral.bus.realm import NodesClaims, Realm
from corral.testing.engine import SMALL, RunningEngine
from corral.testing.raw_node import RawNode


async def until(condition: Callable[[], bool], what: str, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.01)


class MemoryRig:
    name = "memory"

    def __init__(self) -> None:
        self.bus: Any = MemoryBus(limits=SMALL)
        self.realm = Realm.create()
        self.heard: list[tuple[str, bytes]] = []

    async def join(self, node: str) -> str:
        key = KeyPair("U").public
        self.bus.link(key, node)
        self.bus.hear(f"corral.down.{node}.>", lambda subject, data: self.heard.append((subject, data)))
        return key

    async def leave(self, key: str) -> None:
        self.bus.unlink(key)

    async def send(self, node: str, subject: str, data: bytes, headers: dict[str, str] | None = None) -> dict[str, Any]:
        return dict(self.bus.arrive(subject, data, headers))

    async def answer(self, node: str, subject: str, data: bytes) -> None:
        self.bus.answer(subject, lambda *_: data)

    async def revoke(self, key: str) -> None:
        claims = NodesClaims(revoked={key: int(time.time())})
        await self.bus.accounts.push_claims(self.realm.nodes_jwt(claims))

    async def interrupt(self) -> None:
        self.bus.away = True
        await asyncio.sleep(0.05)
        await self.bus.come_back()


class EngineRig:
    name = "engine"

    def __init__(self, engine: RunningEngine, bus: JetStreamEngine) -> None:
        self.engine = engine
        self.bus = bus
        self.realm = engine.realm
        self.nodes: dict[str, RawNode] = {}
        self.heard: list[tuple[str, bytes]] = []
        self._names: dict[str, str] = {}

    async def join(self, node: str) -> str:
        credential = self.engine.node(node)
        raw = await RawNode.connect(self.engine.url, credential)
        raw.heard = self.heard
        await raw.hear(f"corral.down.{node}.>")
        self.nodes[node] = raw
        self._names[credential.public] = node
        return credential.public

    async def leave(self, key: str) -> None:
        await self.nodes.pop(self._names[key]).close()

    async def send(self, node: str, subject: str, data: bytes, headers: dict[str, str] | None = None) -> dict[str, Any]:
        return await self.nodes[node].send(subject, data, headers)

    async def answer(self, node: str, subject: str, data: bytes) -> None:
        async def handler(_message: object) -> bytes:
            return data

        await self.nodes[node].answer(subject, handler)

    async def revoke(self, key: str) -> None:
        await self.engine.revoke(self.bus, key)

    async def interrupt(self) -> None:
        """kill -9 of the engine; the nodes of this rig come back with new connections."""
        before, connected = self.engine.embedded.starts, list(self.nodes)
        self.engine.kill()
        await self.engine.until_restarted(before)
        await until(lambda: self.bus.connected, "the server is connected again")
        for node in connected:
            await self.nodes[node].close()
            await self.join(node)


@pytest.fixture(params=["memory", pytest.param("engine", marks=pytest.mark.engine)])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MemoryRig | EngineRig]:
    if request.param == "memory":
        yield MemoryRig()
        return
    async with RunningEngine(tmp_path / "engine") as engine:
        running = EngineRig(engine, await engine.connect())
        yield running
        for node in running.nodes.values():
            await node.close()


@pytest.fixture
def eventually() -> Callable[..., Any]:
    return until
