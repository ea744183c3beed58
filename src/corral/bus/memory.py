"""The engine in memory, for tests: the same ports, the same answers, no process. Held to bus.jetstream by one contract test.

bus = MemoryBus()
bus.wire, bus.streams, bus.accounts, bus.objects      # what the server is given
bus.arrive(subjects.up("web-1", "report"), body)      # a node publishes; the answer is what the engine would answer it
bus.hear("corral.down.web-1.>", handler)              # a node listens
bus.answer("corral.rpc.web-1.>", handler)             # a node serves rpc
bus.link(key, "web-1"), bus.unlink(key)               # a node's link comes and goes
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from corral.bus.claims import decode
from corral.bus.memory_stream import MemoryStream, matches
from corral.bus.memory_streams import MemoryStreams
from corral.bus.port import BusError, LinkEvent, NoResponder, NotFoundOnBus
from corral.domain.errors import Invalid, OutOfSpace
from corral.protocol import topology
from corral.protocol.topology import StoreLimits
from corral.runtime.clock import Clock, SystemClock

Hearer = Callable[[str, bytes], None]
Answerer = Callable[[str, bytes], bytes]


class MemoryBus:
    """One engine. `away = True` makes every call fail as if it were gone; `wipe()` empties its store."""

    name = "bus"

    def __init__(self, *, limits: StoreLimits = topology.DEFAULT_LIMITS, clock: Clock | None = None) -> None:
        self._limits = limits
        self._clock: Clock = clock or SystemClock()
        self._connect_hooks: list[Callable[[], Awaitable[None]]] = []
        self.hearers: list[tuple[str, Hearer]] = []
        self.answerers: list[tuple[str, Answerer]] = []
        self.held: dict[str, MemoryStream] = {}
        self.blobs: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.away = False
        self.wipe()
        self.wire = MemoryWire(self)
        self.streams = MemoryStreams(self, self._clock)
        self.accounts = MemoryAccounts()
        self.objects = MemoryObjects(self)

    # -- component, as JetStreamEngine

    @property
    def connected(self) -> bool:
        return not self.away

    @property
    def last_error(self) -> str:
        return "away" if self.away else ""

    def on_connect(self, hook: Callable[[], Awaitable[None]]) -> None:
        self._connect_hooks.append(hook)

    async def run(self, ready: Callable[[], None]) -> None:
        await self.come_back()
        ready()
        await asyncio.Event().wait()

    async def close(self) -> None: ...

    # -- what a test does to the engine, and what nodes do at it

    async def come_back(self) -> None:
        """The engine is there (again): run the hooks a reconnect runs."""
        self.away = False
        for hook in self._connect_hooks:
            await hook()

    def wipe(self) -> None:
        self.held = {spec.name: MemoryStream(spec, self._clock) for spec in topology.streams(self._limits)}
        self.blobs.clear()

    def arrive(self, subject: str, data: bytes, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """A node publishes on `corral.up`: stored; returns the acknowledgement, {"error": …} included."""
        self.check("publish")
        for stream in self.held.values():
            if stream.takes(subject):
                return stream.append(subject, data, headers or {})
        raise NoResponder(f"cannot ask {subject!r}: nobody listens", element=subject, retryable=True)

    def hear(self, pattern: str, handler: Hearer) -> Callable[[], None]:
        """Call `handler(subject, data)` for every core message that matches; returns how to stop."""
        entry = (pattern, handler)
        self.hearers.append(entry)
        return lambda: self.hearers.remove(entry)

    def answer(self, pattern: str, handler: Answerer) -> Callable[[], None]:
        entry = (pattern, handler)
        self.answerers.append(entry)
        return lambda: self.answerers.remove(entry)

    def link(self, key: str, name: str) -> None:
        self.accounts.link(key, name)

    def unlink(self, key: str, reason: str = "Client Closed") -> None:
        self.accounts.unlink(key, reason)

    def check(self, verb: str) -> None:
        if self.away:
            raise BusError(f"cannot {verb}: cannot reach the engine: away", element="engine", retryable=True)


class MemoryWire:
    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    async def publish(self, subject: str, data: bytes) -> None:
        self._bus.check("publish")
        for pattern, handler in list(self._bus.hearers):
            if matches(pattern, subject):
                handler(subject, data)

    async def flush(self) -> None:
        self._bus.check("flush")
        await asyncio.sleep(0)

    async def request(self, subject: str, data: bytes, *, timeout_seconds: float) -> bytes:
        self._bus.check("ask")
        await asyncio.sleep(0)
        for pattern, handler in self._bus.answerers:
            if matches(pattern, subject):
                return handler(subject, data)
        raise NoResponder(f"cannot ask {subject!r}: nobody listens", element=subject, retryable=True)


class MemoryAccounts:
    def __init__(self) -> None:
        self.claims: list[str] = []
        self._links: dict[str, str] = {}
        self._handlers: list[Callable[[LinkEvent], None]] = []
        self.sent: dict[str, int] = {}
        """What tests say that links have sent."""

    async def push_claims(self, account_jwt: str) -> None:
        try:
            revoked = decode(account_jwt)["nats"].get("revocations", {})
        except Invalid as error:
            raise BusError(f"cannot update the claims of the nodes: {error}", element="engine") from None
        self.claims.append(account_jwt)
        for key in [key for key in self._links if key in revoked]:
            self.unlink(key, "Credentials Revoked")

    async def events(self, handler: Callable[[LinkEvent], None]) -> None:
        self._handlers.append(handler)

    async def connected_keys(self) -> frozenset[str]:
        return frozenset(self._links)

    async def received(self) -> int:
        return sum(self.sent.values())

    async def sent_by_key(self) -> Mapping[str, int]:
        return {key: self.sent.get(key, 0) for key in self._links}

    def link(self, key: str, name: str) -> None:
        self._links[key] = name
        self._tell(LinkEvent(key=key, name=name, connected=True))

    def unlink(self, key: str, reason: str) -> None:
        name = self._links.pop(key, None)
        if name is not None:
            self._tell(LinkEvent(key=key, name=name, connected=False, reason=reason))

    def _tell(self, event: LinkEvent) -> None:
        for handler in self._handlers:
            handler(event)


class MemoryObjects:
    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    async def put(self, bucket: str, name: str, chunks: AsyncIterator[bytes]) -> str:
        self._bus.check("store")
        stream = self._bus.held[topology.bucket_stream(bucket)]
        nuid = secrets.token_hex(11)
        subject = topology.object_chunks(bucket, nuid)
        data = b"".join([chunk async for chunk in chunks])
        for start in range(0, len(data), topology.OBJECT_CHUNK_BYTES):
            answer = stream.append(subject, data[start : start + topology.OBJECT_CHUNK_BYTES], {})
            if "error" in answer:
                stream.purge(subject)
                raise OutOfSpace(
                    f"cannot store the object: {json.dumps(answer['error'])}", element=name, retryable=True
                )
        await self.delete(bucket, name)
        self._bus.blobs[bucket, name] = (nuid, data)
        return nuid

    async def get(self, bucket: str, name: str) -> AsyncIterator[bytes]:
        self._bus.check("read")
        if (bucket, name) not in self._bus.blobs:
            raise NotFoundOnBus(f"cannot read {name!r}: it is not in bucket {bucket!r}", element=name)
        _, data = self._bus.blobs[bucket, name]
        for start in range(0, len(data), topology.OBJECT_CHUNK_BYTES):
            yield data[start : start + topology.OBJECT_CHUNK_BYTES]

    async def delete(self, bucket: str, name: str) -> None:
        self._bus.check("delete")
        nuid, _ = self._bus.blobs.pop((bucket, name), ("", b""))
        if nuid:
            self._bus.held[topology.bucket_stream(bucket)].purge(topology.object_chunks(bucket, nuid))

    async def exists(self, bucket: str, name: str) -> bool:
        self._bus.check("look up")
        return (bucket, name) in self._bus.blobs

    async def names(self, bucket: str) -> Sequence[tuple[str, int]]:
        self._bus.check("list")
        return sorted((name, len(data)) for (held, name), (_, data) in self._bus.blobs.items() if held == bucket)

    async def sweep(self, bucket: str, *, before: datetime) -> int:
        self._bus.check("sweep")
        named = {topology.object_chunks(held, nuid) for (held, _), (nuid, _) in self._bus.blobs.items()}
        stream = self._bus.held[topology.bucket_stream(bucket)]
        left = [s for s in stream.subjects(topology.object_chunks(bucket, "*"), before=before) if s not in named]
        for subject in left:
            stream.purge(subject)
        return len(left)

    async def nuid(self, bucket: str, name: str) -> str | None:
        self._bus.check("look up")
        found = self._bus.blobs.get((bucket, name))
        return None if found is None else found[0]
