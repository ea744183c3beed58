"""The database itself: one writer, readers apart, cancellation, retention, and what errors say."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from corral.domain.errors import Invalid, OutOfSpace, Unavailable
from corral.domain.job import Job
from corral.domain.node import Node, Presence
from corral.domain.presence_log import PresenceChange
from corral.domain.task import Outcome, TaskState
from corral.runtime.clock import SystemClock
from corral.server.application.ports.jobs import NewTask, Reported
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.migrate import migrate
from corral.server.infrastructure.sql.retention import SqlRetention
from corral.server.infrastructure.sql.statements import Statement
from corral.testing.store_set import sql_stores

ADD = Statement("insert into leases (name, holder, expires_at, token) values (:name, 'h', 0, 1)")
COUNT = Statement("select count(*) from leases")


async def count(db: Database) -> int:
    async with db.read() as tx:
        row = await tx.row(COUNT)
    assert row is not None
    return int(row[0])


async def test_a_block_that_fails_leaves_nothing(url: str) -> None:
    async with sql_stores(url, SystemClock()) as stores:
        assert stores.db is not None
        with pytest.raises(ZeroDivisionError):
            async with stores.db.write() as tx:
                await tx.run(ADD, name="a")
                raise ZeroDivisionError
        assert await count(stores.db) == 0


async def test_a_cancelled_writer_leaves_nothing_and_blocks_nobody(url: str) -> None:
    """Cancelled at every await in turn: before, while and after its statement, and while it commits."""
    async with sql_stores(url, SystemClock()) as stores:
        db = stores.db
        assert db is not None
        committed = 0

        async def work(number: int) -> None:
            async with db.write() as tx:
                await tx.run(ADD, name=f"n{number}")

        for number in range(60):
            task = asyncio.get_running_loop().create_task(work(number))
            for _ in range(number):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            committed += not task.cancelled()
        async with asyncio.timeout(5):
            async with db.write() as tx:
                await tx.run(ADD, name="last")
        # A commit that was under way may have been completed; what must not happen is a half or a blocked one.
        assert committed + 1 <= await count(db) <= 61


async def test_writers_take_turns(url: str) -> None:
    async with sql_stores(url, SystemClock()) as stores:
        db = stores.db
        assert db is not None

        async def work(number: int) -> None:
            async with db.write() as tx:
                await tx.run(ADD, name=f"n{number}")
                await asyncio.sleep(0)

        await asyncio.gather(*(work(number) for number in range(40)))
        assert await count(db) == 40


async def test_a_reader_sees_what_is_committed_while_a_writer_is_busy(url: str) -> None:
    async with sql_stores(url, SystemClock()) as stores:
        db = stores.db
        assert db is not None
        async with db.write() as tx:
            await tx.run(ADD, name="a")
            assert await count(db) == 0
        assert await count(db) == 1
        await db.ping()


async def test_old_jobs_go_in_batches_and_say_which(url: str, make_job: Callable[..., Job], now: datetime) -> None:
    async with sql_stores(url, SystemClock()) as stores:
        assert stores.db is not None
        retention = SqlRetention(stores.db)
        jobs = [make_job() for _ in range(4)]
        for job in jobs:
            await stores.jobs.add(job, [NewTask(node=f"n{n}") for n in range(10)], operation=None)
        for number, job in enumerate(jobs[:3]):
            ended = [Outcome(job=job.id, attempt=1, seq=1, state=TaskState.FAILED) for _ in range(10)]
            reports = [Reported(node=f"n{n}", outcome=outcome) for n, outcome in enumerate(ended)]
            await stores.jobs.apply(reports, now=now + timedelta(minutes=number))
        before = now + timedelta(minutes=1, seconds=30)
        assert await retention.jobs(finished_before=before, tasks_limit=15) == [jobs[0].id]
        assert await retention.jobs(finished_before=before) == [jobs[1].id]
        assert await retention.jobs(finished_before=before) == []
        assert {job.id for job in (await stores.queries.list()).items} == {jobs[2].id, jobs[3].id}
        assert await stores.queries.settled("n1", [(jobs[0].id, 1)]) == [(jobs[0].id, 1)]
        await stores.nodes.add_all([Node(id="n1", enrolled_at=now, daemon_key="D", worker_key="W")])
        seen = [PresenceChange(node="n1", at=now + timedelta(hours=n), presence=Presence.ONLINE) for n in range(5)]
        await stores.presence.add(seen)
        assert [await retention.presence(before=now + timedelta(hours=3), limit=2) for _ in range(3)] == [2, 1, 0]
        assert len((await stores.presence.read("n1", limit=9)).items) == 2
        assert await retention.dead_letters(before=now) == 0
        assert await retention.join_tokens(expired_before=now) == 0


async def test_sqlite_keeps_what_it_promises(tmp_path: Path) -> None:
    async with sql_stores(f"sqlite:///{tmp_path}/deep/corral.db", SystemClock()) as stores:
        db = stores.db
        assert db is not None
        for block in (db.write, db.read):
            async with block() as tx:
                mode = await tx.row(Statement("pragma journal_mode"))
                sync = await tx.row(Statement("pragma synchronous"))
            assert mode is not None and mode[0] == "wal"
            assert sync is not None and sync[0] == 2
        assert (tmp_path / "deep" / "corral.db").stat().st_mode & 0o777 == 0o600
        async with db.read() as tx:
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                await tx.run(ADD, name="a")


async def test_a_file_another_process_holds_is_said_to_be_busy(tmp_path: Path) -> None:
    async with sql_stores(f"sqlite:///{tmp_path}/corral.db", SystemClock()) as stores:
        assert stores.db is not None
        async with stores.db.write() as tx:
            await tx.rows(Statement("pragma busy_timeout = 50"))
        other = sqlite3.connect(tmp_path / "corral.db", isolation_level=None)
        try:
            other.execute("begin immediate")
            with pytest.raises(Unavailable, match="another process") as raised:
                async with stores.db.write() as tx:
                    await tx.run(ADD, name="never")
            assert raised.value.retryable
            other.execute("rollback")
        finally:
            other.close()
        async with stores.db.write() as tx:
            await tx.run(ADD, name="a")


async def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    """A page limit stands in for the disk: SQLite answers SQLITE_FULL to both."""
    async with sql_stores(f"sqlite:///{tmp_path}/corral.db", SystemClock()) as stores:
        db = stores.db
        assert db is not None
        async with db.write() as tx:
            await tx.run(ADD, name="kept")
            await tx.rows(Statement("pragma max_page_count = 1"))
        with pytest.raises(OutOfSpace) as raised:
            async with db.write() as tx:
                for number in range(2000):
                    await tx.run(ADD, name=f"n{number}" + "x" * 400)
        assert raised.value.retryable
        assert str(tmp_path) in raised.value.message
        async with db.write() as tx:
            await tx.rows(Statement("pragma max_page_count = 1000000"))
            await tx.run(ADD, name="after")
        assert await count(db) == 2


@pytest.mark.parametrize("damage", ["header", "page"])
async def test_a_damaged_file_is_refused_with_the_way_out(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "corral.db"
    db = Database(f"sqlite:///{path}")
    await migrate(db)
    await db.close()
    with path.open("r+b") as file:
        if damage == "header":
            file.write(b"not a database, sorry" * 10)
        else:
            for page in range(1, os.path.getsize(path) // 4096):
                file.seek(page * 4096)
                file.write(b"\xff" * 512)
    db = Database(f"sqlite:///{path}")
    try:
        with pytest.raises(Unavailable) as raised:
            await migrate(db)
    finally:
        await db.close()
    assert str(path) in raised.value.message
    assert raised.value.hint is not None and "corral system restore" in raised.value.hint
    assert not raised.value.retryable


@pytest.mark.parametrize("url", ["mysql://x/y", "nonsense", "sqlite://", "sqlite:///:memory:"])
def test_a_url_we_cannot_use_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(Invalid) as raised:
        Database(url)
    assert raised.value.hint is not None and "example" in raised.value.hint


async def test_a_postgresql_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    db = Database(f"postgresql://corral:secret@/corral?host={tmp_path}")
    try:
        with pytest.raises(Unavailable) as raised:
            await db.ping()
    finally:
        await db.close()
    assert raised.value.retryable
    assert "secret" not in raised.value.message


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
async def test_a_number_beyond_64_bits_is_the_callers_mistake(url: str, number: int) -> None:
    async with sql_stores(url, SystemClock()) as stores:
        assert stores.db is not None
        statement = Statement("insert into leases (name, holder, expires_at, token) values ('n', 'h', 0, :token)")
        with pytest.raises(Invalid):
            async with stores.db.write() as tx:
                await tx.run(statement, token=number)
        assert await count(stores.db) == 0
