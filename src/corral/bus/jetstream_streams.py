"""Streams at the real engine: the topology, and what the server reads from it.

The topology is ensured at start, after every reconnect, and when JetStream answers "not found" or nobody answers at all: a wiped
store heals by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from corral.bus import jetstream_read
from corral.bus.connection import Connection
from corral.bus.jetstream_api import NAME_IN_USE, Refusal, ask
from corral.bus.jetstream_consume import PullBatches
from corral.bus.port import BusError, BusMessage, NotFoundOnBus
from corral.protocol import subjects, topology
from corral.protocol.topology import StoreLimits, StreamSpec

log = logging.getLogger("corral.bus")

ENSURE_SECONDS: Final = 20.0
"""JetStream answers a moment after the engine listens; a cluster needs an election."""


class JetStreamStreams:
    """Streams of port.py: queues and last values on the `in` connection, reading and following on `bulk`."""

    def __init__(self, connection: Connection, bulk: Connection, limits: StoreLimits) -> None:
        self._connection = connection
        self._bulk = bulk
        self._limits = limits
        self._ensuring: asyncio.Lock = asyncio.Lock()
        self._ensured = 0
        self._created: dict[str, str] = {}
        self._checked_epoch: dict[str, int] = {}

    async def ensure_topology(self) -> None:
        asked_at = self._ensured
        async with self._ensuring:
            if self._ensured != asked_at:
                return  # somebody did it while we waited
            for spec in topology.streams(self._limits):
                await self._ensure(spec)
            self._ensured += 1

    async def _ensure(self, spec: StreamSpec) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ENSURE_SECONDS
        while True:
            try:
                await self._ensure_once(spec)
                return
            except BusError as error:
                # No responders shows as not found while JetStream of a fresh engine wakes up.
                if not error.retryable or loop.time() > deadline or not self._connection.connected:
                    raise
            await asyncio.sleep(0.1)

    async def _ensure_once(self, spec: StreamSpec) -> None:
        config = spec.config()
        try:
            await ask(self._connection, f"STREAM.CREATE.{spec.name}", config)
        except Refusal as refusal:
            if refusal.number != NAME_IN_USE:
                raise
            await ask(self._connection, f"STREAM.UPDATE.{spec.name}", config)
            log.info("Changed the limits of stream %s", spec.name, extra={"action": "stream_updated"})
        for consumer in spec.consumers:
            body = {"stream_name": spec.name, "config": consumer.config()}
            await ask(self._connection, f"CONSUMER.CREATE.{spec.name}.{consumer.name}", body)

    async def _healed(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do it; when the stream is not there, ensure the topology and do it once more."""
        try:
            return await work()
        except NotFoundOnBus:
            await self.ensure_topology()
            return await work()

    def batches(self, stream: str, durable: str) -> PullBatches:
        return PullBatches(self._connection, stream=stream, durable=durable, heal=self.ensure_topology)

    async def latest(self, stream: str, after_sequence: int) -> Sequence[BusMessage]:
        """All newer than `after_sequence`. A stream that was made anew counts from 1: continue from the last one returned."""
        subject = subjects.STREAM_SUBJECTS[stream]
        if self._checked_epoch.get(stream) != self._connection.epoch and await self._is_new(stream):
            after_sequence = 0
        found: list[BusMessage] = await self._healed(
            lambda: jetstream_read.read(
                self._connection, stream, subject, from_sequence=after_sequence + 1, limit=1 << 20
            )
        )
        if not found and after_sequence and await self.last_sequence(stream) < after_sequence:
            return await self.latest(stream, 0)
        return found

    async def _is_new(self, stream: str) -> bool:
        """Whether the stream was made again since we last looked; asked once per connection."""
        epoch = self._connection.epoch
        created = str((await self._info(stream))["created"])
        known = self._created.get(stream)
        self._created[stream] = created
        self._checked_epoch[stream] = epoch
        return known is not None and known != created

    async def read(
        self, stream: str, subject: str, *, from_sequence: int = 1, limit: int = 1000
    ) -> Sequence[BusMessage]:
        found: Sequence[BusMessage] = await self._healed(
            lambda: jetstream_read.read(self._bulk, stream, subject, from_sequence=from_sequence, limit=limit)
        )
        return found

    def follow(self, stream: str, subject: str, *, from_sequence: int) -> AsyncIterator[BusMessage]:
        follower = jetstream_read.Follower(self._bulk, stream=stream, subject=subject, from_sequence=from_sequence)
        return follower.messages()

    async def last_sequence(self, stream: str) -> int:
        return int((await self._info(stream))["state"]["last_seq"])

    async def purge(self, stream: str, subject: str) -> None:
        await self._healed(lambda: ask(self._connection, f"STREAM.PURGE.{stream}", {"filter": subject}))

    async def usage(self) -> Mapping[str, Mapping[str, int]]:
        found = {}
        for spec in topology.streams(self._limits):
            info = await self._info(spec.name)
            state = info["state"]
            found[spec.name] = {
                "messages": int(state["messages"]),
                "bytes": int(state["bytes"]),
                "max_bytes": int(info["config"]["max_bytes"]),
                "first_sequence": int(state["first_seq"]),
                "last_sequence": int(state["last_seq"]),
            }
        return found

    async def _info(self, stream: str) -> dict[str, Any]:
        info: dict[str, Any] = await self._healed(lambda: jetstream_read.stream_info(self._connection, stream))
        return info
