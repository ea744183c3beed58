"""Streams of the engine in memory: the port over memory_stream's stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from corral.bus.memory_stream import MemoryBatches, MemoryStream
from corral.bus.port import BusMessage
from corral.runtime.clock import Clock


class Store(Protocol):
    """What of the engine in memory the streams see."""

    away: bool
    held: dict[str, MemoryStream]

    def check(self, verb: str) -> None: ...


class MemoryStreams:
    def __init__(self, bus: Store, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._batches: dict[tuple[int, str], MemoryBatches] = {}

    async def ensure_topology(self) -> None:
        self._bus.check("ensure the topology")

    def batches(self, stream: str, durable: str) -> SharedBatches:
        return SharedBatches(self, stream, durable)

    def shared(self, stream: str, durable: str) -> MemoryBatches:
        """The consumer itself: one per durable, whoever reads, and a new one after a wipe."""
        held = self._get(stream)
        return self._batches.setdefault((id(held), durable), MemoryBatches(held, durable, self._clock))

    async def latest(self, stream: str, after_sequence: int) -> Sequence[BusMessage]:
        held = self._get(stream)
        if held.last < after_sequence:
            after_sequence = 0
        return held.find(">", after_sequence + 1, 1 << 20)

    async def read(
        self, stream: str, subject: str, *, from_sequence: int = 1, limit: int = 1000
    ) -> Sequence[BusMessage]:
        return self._get(stream).find(subject, from_sequence, limit)

    async def follow(self, stream: str, subject: str, *, from_sequence: int) -> AsyncIterator[BusMessage]:
        held, following = self._get(stream), from_sequence
        while True:
            if self._bus.away:
                await asyncio.sleep(0.02)
                continue
            if self._get(stream) is not held:
                held, following = self._get(stream), 1
            changed = held.changed
            for message in held.find(subject, following, 1 << 20):
                following = message.sequence + 1
                yield message
            try:
                async with asyncio.timeout(0.2):
                    await changed.wait()
            except TimeoutError:
                continue

    async def last_sequence(self, stream: str) -> int:
        return self._get(stream).last

    async def purge(self, stream: str, subject: str) -> None:
        self._get(stream).purge(subject)

    async def usage(self) -> Mapping[str, Mapping[str, int]]:
        self._bus.check("ask")
        return {
            name: {
                "messages": len(held.messages),
                "bytes": held.bytes,
                "max_bytes": held.spec.max_bytes,
                "first_sequence": next(iter(held.messages), held.last + 1),
                "last_sequence": held.last,
            }
            for name, held in self._bus.held.items()
        }

    def _get(self, stream: str) -> MemoryStream:
        self._bus.check(f"read {stream!r}")
        return self._bus.held[stream]


class SharedBatches:
    """Batches of port.py that finds its stream anew at every call."""

    def __init__(self, streams: MemoryStreams, stream: str, durable: str) -> None:
        self._streams, self._stream, self._durable = streams, stream, durable

    async def next(self, *, limit: int, wait_seconds: float) -> Sequence[BusMessage]:
        return await self._streams.shared(self._stream, self._durable).next(limit=limit, wait_seconds=wait_seconds)

    async def ack(self, messages: Sequence[BusMessage]) -> None:
        await self._streams.shared(self._stream, self._durable).ack(messages)
