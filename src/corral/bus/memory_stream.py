"""One stream in memory, with the bounds and answers of the engine: what topology.StreamSpec says, nothing else."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from corral.bus.port import BusMessage
from corral.protocol.topology import StreamSpec
from corral.runtime.clock import Clock

FULL_PER_SUBJECT: Final = {"code": 503, "err_code": 10077, "description": "maximum messages per subject exceeded"}
FULL: Final = {"code": 503, "err_code": 10077, "description": "maximum bytes exceeded"}
TOO_LARGE: Final = {"code": 400, "err_code": 10054, "description": "message size exceeds maximum allowed"}


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject matches a filter with `*` (one token) and `>` (the rest)."""
    wanted, got = pattern.split("."), subject.split(".")
    for position, token in enumerate(wanted):
        if token == ">":
            return len(got) > position
        if position >= len(got) or token not in ("*", got[position]):
            return False
    return len(wanted) == len(got)


class MemoryStream:
    """Messages by sequence, and one work queue per durable."""

    def __init__(self, spec: StreamSpec, clock: Clock) -> None:
        self.spec = spec
        self._clock = clock
        self.messages: dict[int, BusMessage] = {}
        self._stored_at: dict[int, float] = {}
        self._per_subject: dict[str, deque[int]] = {}
        self.bytes = 0
        self.last = 0
        self.changed = asyncio.Event()

    def takes(self, subject: str) -> bool:
        return any(matches(pattern, subject) for pattern in self.spec.subjects)

    def append(self, subject: str, data: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        """The acknowledgement the engine gives a publisher."""
        spec = self.spec
        self.expire()
        if len(data) > spec.max_msg_bytes:
            return {"error": TOO_LARGE, "stream": spec.name, "seq": 0}
        mine = self._per_subject.setdefault(subject, deque())
        refuses = spec.discard == "new"
        if refuses and spec.discard_new_per_subject and 0 < spec.max_per_subject <= len(mine):
            return {"error": FULL_PER_SUBJECT, "stream": spec.name, "seq": 0}
        if refuses and self.bytes + len(data) > spec.max_bytes:
            return {"error": FULL, "stream": spec.name, "seq": 0}
        self.last += 1
        self.messages[self.last] = BusMessage(
            subject=subject, data=data, headers=dict(headers), sequence=self.last, at=self._clock.wall()
        )
        self._stored_at[self.last] = self._clock.monotonic()
        self.bytes += len(data)
        mine.append(self.last)
        while 0 < spec.max_per_subject < len(mine):
            self.remove(mine[0])
        while self.bytes > spec.max_bytes:
            self.remove(next(iter(self.messages)))
        self.changed.set()
        self.changed = asyncio.Event()
        return {"stream": spec.name, "seq": self.last}

    def remove(self, sequence: int) -> None:
        message = self.messages.pop(sequence, None)
        if message is None:
            return
        self._stored_at.pop(sequence)
        self.bytes -= len(message.data)
        mine = self._per_subject[message.subject]
        mine.remove(sequence)
        if not mine:
            del self._per_subject[message.subject]

    def expire(self) -> None:
        """Forget what is older than the stream's maximum age."""
        if self.spec.max_age_seconds:
            oldest = self._clock.monotonic() - self.spec.max_age_seconds
            for sequence in [s for s, stored in self._stored_at.items() if stored < oldest]:
                self.remove(sequence)

    def find(self, subject: str, from_sequence: int, limit: int) -> list[BusMessage]:
        self.expire()
        found = []
        for sequence, message in self.messages.items():
            if sequence >= from_sequence and matches(subject, message.subject):
                found.append(message)
                if len(found) == limit:
                    break
        return found

    def subjects(self, pattern: str, *, before: datetime) -> list[str]:
        """Those that match and got nothing since."""
        age = (self._clock.now() - before).total_seconds()
        oldest = self._clock.monotonic() - age
        return [
            s for s, mine in self._per_subject.items() if matches(pattern, s) and self._stored_at[mine[-1]] < oldest
        ]

    def purge(self, subject: str) -> None:
        for message in self.find(subject, 1, len(self.messages)):
            self.remove(message.sequence)


class MemoryBatches:
    """Batches of port.py: given out once, again after the acknowledgement wait, removed when acknowledged."""

    def __init__(self, stream: MemoryStream, durable: str, clock: Clock) -> None:
        spec = next(consumer for consumer in stream.spec.consumers if consumer.name == durable)
        self._stream = stream
        self._clock = clock
        self._wait_seconds = spec.ack_wait_seconds
        self._given: dict[int, float] = {}
        self._acknowledged: set[int] = set()

    async def next(self, *, limit: int, wait_seconds: float) -> Sequence[BusMessage]:
        deadline = self._clock.monotonic() + wait_seconds
        while True:
            changed = self._stream.changed
            batch = self._due(limit)
            remaining = deadline - self._clock.monotonic()
            if batch or remaining <= 0:
                return batch
            try:
                async with asyncio.timeout(min(remaining, 0.05)):
                    await changed.wait()
            except TimeoutError:
                continue

    async def ack(self, messages: Sequence[BusMessage]) -> None:
        for message in messages:
            self._given.pop(message.sequence, None)
            if self._stream.spec.retention == "workqueue":
                self._stream.remove(message.sequence)
            else:
                self._acknowledged.add(message.sequence)

    def _due(self, limit: int) -> list[BusMessage]:
        self._stream.expire()
        now = self._clock.monotonic()
        due = []
        for sequence, message in self._stream.messages.items():
            if sequence not in self._acknowledged and self._given.get(sequence, 0.0) <= now:
                due.append(message)
                if len(due) == limit:
                    break
        for message in due:
            self._given[message.sequence] = now + self._wait_seconds
        return due
