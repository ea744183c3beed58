"""One body over three databases: memory, an SQLite file, a real PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from corral.domain.ids import new_id
from corral.domain.job import CommandSpec, Job, JobState, OfflinePolicy, pinned_hash
from corral.runtime.clock import SystemClock
from corral.testing import postgres
from corral.testing.store_set import StoreSet, memory_stores, sql_stores

NOW = datetime(2026, 11, 21, 12, 0, 0, 123000, tzinfo=UTC)


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgres.PostgresServer]:
    if postgres.programs() is None:
        pytest.skip(f"PostgreSQL is not installed: {postgres.INSTALL}")
    with postgres.running() as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database that is on a disk."""
    if request.param == "postgres":
        return str(request.getfixturevalue("cluster").database())
    return f"sqlite:///{tmp_path}/corral.db"


@pytest.fixture
async def stores(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StoreSet]:
    if kind == "memory":
        yield memory_stores()
        return
    on_disk = f"sqlite:///{tmp_path}/corral.db"
    url = request.getfixturevalue("cluster").database() if kind == "postgres" else on_disk
    async with sql_stores(url, SystemClock()) as made:
        yield made


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def make_job() -> Callable[..., Job]:
    """A job with the next id; keywords replace fields."""
    numbers = iter(range(1, 10**6))

    def make(**fields: Any) -> Job:
        number = next(numbers)
        job = Job(
            id=new_id("J", int(NOW.timestamp() * 1000) + number, os.urandom(6)),
            name="",
            kind="exec",
            target="all",
            spec=CommandSpec(argv=("uptime",), env={"A": "ä"}, stdin=b"\0\xff"),
            state=JobState.OPEN,
            counts={},
            nodes=0,
            pinned=pinned_hash([]),
            created_at=NOW,
            created_by="ada",
            expires_at=NOW + timedelta(hours=1),
            offline=OfflinePolicy.QUEUE,
        )
        return replace(job, **fields)

    return make
