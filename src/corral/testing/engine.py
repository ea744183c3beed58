"""A real engine for tests: a supervised nats-server on a free port in a temporary directory, with a realm of its own.

async with RunningEngine(tmp_path / "engine") as engine:
    server = await engine.connect()                 # wire, streams, accounts, objects
    node = engine.node("web-1", role="worker")      # a credential: jwt, seed, inbox
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from corral.bus import jetstream
from corral.bus.claims import KeyPair
from corral.bus.embedded import EmbeddedEngine
from corral.bus.engine_config import MIB, EngineSettings
from corral.bus.jetstream import JetStreamEngine
from corral.bus.realm import NodesClaims, Realm
from corral.protocol import subjects
from corral.protocol.topology import StoreLimits
from corral.runtime.clock import SystemClock
from corral.runtime.lifecycle import TaskSet

Role = Literal["daemon", "worker", "sim"]
SMALL: Final = StoreLimits(
    reports_bytes=64 * MIB,
    output_bytes=256 * MIB,
    metrics_bytes=16 * MIB,
    facts_bytes=16 * MIB,
    artifacts_bytes=256 * MIB,
    archive_bytes=256 * MIB,
    memory_stream_bytes=32 * MIB,
)
START_SECONDS: Final = 20.0


@dataclass(frozen=True, kw_only=True)
class NodeCredential:
    """Everything a node needs to connect."""

    node: str
    jwt: str
    seed: str
    public: str
    inbox: str


class RunningEngine:
    """An async context manager. `revoked` and `nodes` are what the engine's claims are rendered from."""

    def __init__(
        self,
        directory: Path,
        *,
        settings: EngineSettings | None = None,
        limits: StoreLimits = SMALL,
        client_tls: ssl.SSLContext | None = None,
        realm: Realm | None = None,
    ) -> None:
        self.realm = realm or Realm.create()
        self.revoked: dict[str, int] = {}
        self._clock = SystemClock(0)
        self.nodes = 0
        self.embedded = EmbeddedEngine(
            directory=directory,
            realm=self.realm,
            claims=self._claims,
            settings=settings or EngineSettings(port=0),
        )
        self._limits = limits
        self._client_tls = client_tls
        self._tasks = TaskSet("running-engine")
        self._servers: list[JetStreamEngine] = []
        self._stop: Callable[[], object] = lambda: None

    async def __aenter__(self) -> RunningEngine:
        ready = asyncio.Event()
        task = self._tasks.start(self.embedded.run(ready.set), name="engine")
        waiter = self._tasks.start(ready.wait(), name="ready")
        await asyncio.wait((task, waiter), timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not ready.is_set():
            if task.done():
                task.result()
            await self._tasks.close()
            raise TimeoutError("the engine did not start")
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            await server.close()
        await self._tasks.close(grace_seconds=20.0)

    @property
    def url(self) -> str:
        return self.embedded.url

    @property
    def claims(self) -> NodesClaims:
        return NodesClaims(revoked=dict(self.revoked), nodes=self.nodes)

    async def _claims(self) -> NodesClaims:
        return self.claims

    async def connect(self) -> JetStreamEngine:
        """A server's connection with the topology in place; closed with the engine."""
        server = await jetstream.connect([self.url], realm=self.realm, tls=self._client_tls, limits=self._limits)
        self._servers.append(server)
        return server

    def node(
        self, node: str, role: Role = "sim", *, key: KeyPair | None = None, ttl_seconds: float = 3600
    ) -> NodeCredential:
        """A credential of this realm, valid from now on: the engine needs to be told nothing."""
        key = key or KeyPair("U")
        sign = {"daemon": self.realm.user_daemon, "worker": self.realm.user_worker, "sim": self.realm.user_sim}[role]
        jwt = sign(node, key.public, self._clock.wall() + ttl_seconds)
        return NodeCredential(node=node, jwt=jwt, seed=key.seed, public=key.public, inbox=subjects.node_inbox(node))

    async def revoke(self, server: JetStreamEngine, *publics: str) -> None:
        """Revoke user keys now and for every later start."""
        self.revoked.update(dict.fromkeys(publics, int(self._clock.wall())))
        await server.accounts.push_claims(self.realm.nodes_jwt(self.claims))

    def kill(self) -> int:
        """kill -9 of the engine's process; the supervisor starts it again. Returns the pid that died."""
        pid = self.embedded.pid
        assert pid is not None, "the engine is not running"
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return pid

    async def until_restarted(self, starts_before: int, *, seconds: float = START_SECONDS) -> None:
        """Wait until the supervisor has started the engine once more than `starts_before` (= embedded.starts)."""
        async with asyncio.timeout(seconds):
            while self.embedded.starts <= starts_before:  # noqa: ASYNC110  # the component counts, it has no event for this
                await asyncio.sleep(0.02)
