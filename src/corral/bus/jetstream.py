"""The engine as the server uses it: one object that bundles Wire, Streams, Accounts and Objects over four connections.

`in` takes what nodes report, `out` publishes to nodes, `bulk` moves output and objects (neither a fan-out of ten thousand
messages nor a large object may delay what comes in), `system` is the engine's system account.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence

from corral.bus.connection import Connection
from corral.bus.jetstream_accounts import JetStreamAccounts
from corral.bus.jetstream_objects import JetStreamObjects
from corral.bus.jetstream_streams import JetStreamStreams
from corral.bus.realm import Realm
from corral.domain.errors import Unavailable
from corral.protocol import subjects, topology
from corral.protocol.topology import StoreLimits
from corral.runtime.lifecycle import TaskSet


class JetStreamWire:
    """Wire of port.py, on the `out` connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def publish(self, subject: str, data: bytes) -> None:
        await self._connection.publish_or_keep(subject, data)

    async def flush(self) -> None:
        await self._connection.flush()

    async def request(self, subject: str, data: bytes, *, timeout_seconds: float) -> bytes:
        return (await self._connection.request(subject, data, timeout_seconds=timeout_seconds)).data


class JetStreamEngine:
    """Component `bus`: wire, streams, accounts and objects of one engine. Ready when connected and the topology is there."""

    name = "bus"

    def __init__(
        self,
        *,
        urls: Callable[[], Sequence[str]],
        realm: Realm,
        tls: ssl.SSLContext | None = None,
        limits: StoreLimits = topology.DEFAULT_LIMITS,
    ) -> None:
        server, system = realm.server_credential(), realm.system_credential()
        self._in = Connection(urls=urls, credential=lambda: server, inbox=subjects.SERVER_INBOX, name="in", tls=tls)
        self._out = Connection(urls=urls, credential=lambda: server, inbox=subjects.SERVER_INBOX, name="out", tls=tls)
        self._system = Connection(
            urls=urls, credential=lambda: system, inbox=subjects.SYSTEM_INBOX, name="system", tls=tls
        )
        self._bulk = Connection(urls=urls, credential=lambda: server, inbox=subjects.SERVER_INBOX, name="bulk", tls=tls)
        self._connections = (self._in, self._out, self._bulk, self._system)
        self._tasks = TaskSet("bus")
        self.wire = JetStreamWire(self._out)
        self.streams = JetStreamStreams(self._in, self._bulk, limits)
        self.accounts = JetStreamAccounts(self._system, realm.nodes_account)
        self.objects = JetStreamObjects(self._bulk)
        self._in.on_connect(self.streams.ensure_topology)

    @property
    def connected(self) -> bool:
        return all(connection.connected for connection in self._connections)

    @property
    def last_error(self) -> str:
        """Why it is not connected, for health pages."""
        return "" if self.connected else next(c.last_error for c in self._connections if not c.connected)

    def on_connect(self, hook: Callable[[], Awaitable[None]]) -> None:
        """Run after every (re)connect to the system account: push claims again, learn who is connected."""
        self._system.on_connect(hook)

    async def run(self, ready: Callable[[], None]) -> None:
        """Stay connected until cancelled; `ready` once all connections and the topology are there."""
        waiting = {connection.name for connection in self._connections}

        def arrived(name: str) -> Callable[[], None]:
            def call() -> None:
                if waiting:
                    waiting.discard(name)
                    if not waiting:
                        ready()

            return call

        async with asyncio.TaskGroup() as group:
            for connection in self._connections:
                group.create_task(connection.run(arrived(connection.name)), name=f"bus/{connection.name}")

    async def close(self) -> None:
        """End what `connect` started."""
        await self._tasks.close()


async def connect(
    urls: Sequence[str],
    *,
    realm: Realm,
    tls: ssl.SSLContext | None = None,
    limits: StoreLimits = topology.DEFAULT_LIMITS,
    timeout_seconds: float = 15.0,
) -> JetStreamEngine:
    """A connected engine outside a Lifecycle (tools, tests); end it with `close`."""
    engine = JetStreamEngine(urls=lambda: urls, realm=realm, tls=tls, limits=limits)
    ready = asyncio.Event()
    task = engine._tasks.start(engine.run(ready.set), name="run")
    waiter = engine._tasks.start(ready.wait(), name="ready")
    done, _ = await asyncio.wait((task, waiter), timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
    if waiter not in done:
        error = engine.last_error
        await engine.close()
        raise Unavailable(f"cannot reach the engine at {', '.join(urls)}: {error}", element="engine", retryable=True)
    return engine
