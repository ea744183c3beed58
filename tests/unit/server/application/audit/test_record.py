"""The audit writer: batches, order, backpressure, and nothing lost without a word."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from corral.domain.errors import NotFound, Unavailable
from corral.server.application.audit.record import AuditWriter
from corral.server.application.ports.access import NO_FILTER, AuditEntry, AuditFilter
from corral.testing.clock import FakeClock


def entry(number: int) -> AuditEntry:
    return AuditEntry(
        at=datetime(2026, 1, 1, tzinfo=UTC),
        actor="admin",
        address="",
        action="POST /jobs",
        target=str(number),
        outcome="ok",
        status=201,
    )


class Rows:
    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.works = asyncio.Event()
        self.works.set()
        self.tries = 0

    async def add(self, entry: AuditEntry) -> None:
        await self.add_many([entry])

    async def add_many(self, entries: Sequence[AuditEntry]) -> None:
        self.tries += 1
        await asyncio.sleep(0)
        if not self.works.is_set():
            raise Unavailable("cannot reach the database")
        self.batches.append([entry.target for entry in entries])

    async def get(self, entry: int) -> AuditEntry:
        raise NotFound("cannot find it")

    async def list(
        self, *, limit: int = 50, before: int | None = None, only: AuditFilter = NO_FILTER
    ) -> Sequence[tuple[int, AuditEntry]]:
        return []

    @property
    def all(self) -> list[str]:
        return [target for batch in self.batches for target in batch]


async def until(condition: object, clock: FakeClock | None = None) -> None:
    assert callable(condition)
    async with asyncio.timeout(5):
        while not condition():
            await (clock.advance(1) if clock else asyncio.sleep(0))


async def ask(writer: AuditWriter, numbers: range) -> list[asyncio.Task[None]]:
    """Requests whose entries are in the queue when this returns."""
    waiting = [asyncio.ensure_future(writer.record(entry(number))) for number in numbers]
    await asyncio.sleep(0)
    return waiting


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_entries_are_written_in_order_and_in_batches() -> None:
    rows = Rows()
    writer = AuditWriter(store=rows, clock=FakeClock())
    waiting = await ask(writer, range(1200))
    running = asyncio.ensure_future(writer.run(lambda: None))
    await until(lambda: writer.written == 1200)
    assert rows.all == [str(number) for number in range(1200)]
    assert len(rows.batches) == 3
    await asyncio.gather(*waiting)
    await stop(running)


async def test_a_database_that_is_away_delays_entries_and_loses_none() -> None:
    rows, clock = Rows(), FakeClock()
    rows.works.clear()
    writer = AuditWriter(store=rows, clock=clock)
    running = asyncio.ensure_future(writer.run(lambda: None))
    waiting = await ask(writer, range(10))
    await until(lambda: rows.tries >= 3, clock)
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)  # no request hangs because the record cannot be written
    assert len(writer) == 10
    rows.works.set()
    await until(lambda: writer.written == 10, clock)
    assert rows.all == [str(number) for number in range(10)]
    await stop(running)


async def test_a_full_queue_makes_requests_wait() -> None:
    rows = Rows()
    writer = AuditWriter(store=rows, clock=FakeClock(), queue_max=3)
    await ask(writer, range(3))
    waiting = asyncio.ensure_future(writer.record(entry(3)))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    running = asyncio.ensure_future(writer.run(lambda: None))
    await waiting
    await until(lambda: writer.written == 4)
    assert rows.all == ["0", "1", "2", "3"]
    await stop(running)


async def test_stopping_writes_what_waits() -> None:
    rows = Rows()
    writer = AuditWriter(store=rows, clock=FakeClock())
    started = asyncio.Event()
    running = asyncio.ensure_future(writer.run(started.set))
    await started.wait()
    waiting = await ask(writer, range(700))
    await stop(running)
    await asyncio.gather(*waiting)
    assert rows.all == [str(number) for number in range(700)]


async def test_what_cannot_be_written_at_the_end_goes_to_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corral.server.application.audit.record._FINAL_SECONDS", 0.05)
    rows = Rows()
    rows.works.clear()
    writer = AuditWriter(store=rows, clock=FakeClock())
    running = asyncio.ensure_future(writer.run(lambda: None))
    for number in range(3):
        await writer.record(entry(number))
    await until(lambda: rows.tries >= 1)
    with caplog.at_level(logging.ERROR):
        await stop(running)
    spilled = [record.target for record in caplog.records if getattr(record, "action", "") == "audit_spilled"]
    assert spilled == ["0", "1", "2"]


async def test_a_request_is_answered_only_once_its_entry_is_stored() -> None:
    rows = Rows()
    writer = AuditWriter(store=rows, clock=FakeClock())
    (waiting,) = await ask(writer, range(1))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    running = asyncio.ensure_future(writer.run(lambda: None))
    await waiting
    assert rows.all == ["0"]
    await stop(running)
