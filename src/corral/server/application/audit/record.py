"""Writing the audit record: in batches, in order, never silently incomplete.

`record` returns once the entry is committed, together with those of all requests that ended meanwhile, so an answer that left is
in the record whatever is killed then. The queue is bounded: when the database is slow, requests wait (backpressure) instead of
going unrecorded. A batch that cannot be written lets its requests go (they mostly say that the database is away) and is tried again
until it can; what is left when the server has to stop is written to the log, entry by entry.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from corral.domain.errors import CorralError
from corral.runtime.backoff import Backoff
from corral.runtime.clock import Clock, iso
from corral.server.application.ports.access import AuditEntry, AuditLog

log = logging.getLogger("corral.audit")

QUEUE_MAX: Final = 5000
BATCH_MAX: Final = 500
_AGAIN: Final = Backoff(delays_seconds=(0.2, 1, 2, 5, 10))
_FINAL_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    entry: AuditEntry
    settled: asyncio.Future[None]


class AuditWriter:
    """A component. It stops last of all that serves requests, so that their entries still find it."""

    name = "audit"

    def __init__(self, *, store: AuditLog, clock: Clock, queue_max: int = QUEUE_MAX) -> None:
        self._store = store
        self._clock = clock
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(queue_max)
        self._batch: list[_Waiting] = []
        self._failing = False
        self.written = 0

    def __len__(self) -> int:
        """Entries that wait."""
        return self._queue.qsize() + len(self._batch)

    async def record(self, entry: AuditEntry) -> None:
        """Returns once it is stored, or once storing it failed and goes on by itself."""
        waiting = _Waiting(entry, asyncio.get_running_loop().create_future())
        await self._queue.put(waiting)
        if not self._failing:
            await waiting.settled

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        try:
            while True:
                self._batch.append(await self._queue.get())
                self._take()
                await self._write()
        finally:
            await self._finish()

    def _take(self) -> None:
        while len(self._batch) < BATCH_MAX and not self._queue.empty():
            self._batch.append(self._queue.get_nowait())

    async def _write(self) -> None:
        attempt = 0
        while True:
            try:
                await self._store.add_many([waiting.entry for waiting in self._batch])
            except (CorralError, OSError) as error:
                self._failing = True
                self._let_all_go()
                log.error(
                    "Cannot write %d audit entries, trying again: %s",
                    len(self._batch),
                    error,
                    extra={"action": "audit_delayed", "waiting": len(self)},
                )
                await self._clock.sleep(_AGAIN.delay(attempt))
                attempt += 1
                continue
            self._failing = False
            self.written += len(self._batch)
            _let_go(self._batch)
            self._batch.clear()
            return

    def _let_all_go(self) -> None:
        _let_go(self._batch)
        left = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        _let_go(left)
        for waiting in left:
            self._queue.put_nowait(waiting)

    async def _finish(self) -> None:
        """Write what is left, within a few seconds; then the log has to do."""
        try:
            async with asyncio.timeout(_FINAL_SECONDS):
                self._take()
                while self._batch:
                    await self._write()
                    self._take()
        except TimeoutError:
            while not self._queue.empty():
                self._batch.append(self._queue.get_nowait())
            _spill([waiting.entry for waiting in self._batch])
            _let_go(self._batch)
            self._batch.clear()


def _let_go(batch: Sequence[_Waiting]) -> None:
    for waiting in batch:
        if not waiting.settled.done():
            waiting.settled.set_result(None)


def _spill(entries: Sequence[AuditEntry]) -> None:
    for entry in entries:
        log.error(
            "Cannot store an audit entry; here it is",
            extra={
                "action": "audit_spilled",
                "at": iso(entry.at),
                "actor": entry.actor,
                "address": entry.address,
                "what": entry.action,
                "target": entry.target,
                "outcome": entry.outcome,
                "status": entry.status,
                "request_id": entry.request_id,
                "details": json.dumps(dict(entry.details), default=str),
            },
        )
