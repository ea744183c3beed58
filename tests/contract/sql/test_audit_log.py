"""Filters and pages of the audit log, the same on every database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from corral.domain.errors import NotFound
from corral.domain.job import Job
from corral.server.application.ports.access import AuditEntry, AuditFilter
from corral.server.application.ports.jobs import NewTask
from corral.testing.store_set import StoreSet


def entry(at: datetime, **fields: Any) -> AuditEntry:
    given = {"actor": "ada", "address": "::1", "action": "POST /jobs", "target": "/api/v1/jobs", "outcome": "ok"}
    return AuditEntry(at=at, status=201, **given | fields)


async def test_every_filter_and_all_of_them_together(
    stores: StoreSet, now: datetime, make_job: Callable[..., Job]
) -> None:
    job = await stores.jobs.add(make_job(), [NewTask(node="web-1"), NewTask(node="web-2")], operation=None)
    given = [
        entry(now, job=job.id, credential="T1"),
        entry(now + timedelta(seconds=1), actor="bob", action="DELETE /nodes/{node}", target="/api/v1/nodes/web-1"),
        entry(now + timedelta(seconds=2), action="GET /things", outcome="denied", target="/api/v1/nodes/web-10/labels"),
        entry(now + timedelta(seconds=3), actor="bob", outcome="denied", target="/api/v1/nodes/web-1/labels"),
    ]
    await stores.audit.add_many(given)

    async def found(**only: Any) -> list[int]:
        return [number for number, _ in await stores.audit.list(only=AuditFilter(**only))]

    order = {number: place for place, number in enumerate(sorted(await found()), start=1)}

    async def places(**only: Any) -> list[int]:
        return [order[number] for number in await found(**only)]

    assert await places() == [4, 3, 2, 1]
    assert await places(actor="bob") == [4, 2]
    assert await places(action="delete") == [2]
    assert await places(action="/") == [4, 3, 2, 1]
    assert await places(outcome="denied") == [4, 3]
    assert await places(since=now + timedelta(seconds=1), until=now + timedelta(seconds=3)) == [3, 2]
    assert await places(job=job.id) == [1]
    assert await places(node="web-1") == [4, 2, 1]
    assert await places(node="web-2") == [1]
    assert await places(node="web-10") == [3]
    assert await places(actor="bob", node="web-1", outcome="denied", since=now, action="POST") == [4]
    assert await places(actor="100%' or 1=1 --") == []
    assert await places(actor="b_b") == [], "no pattern"


async def test_pages_of_a_filter_join_without_gap(stores: StoreSet, now: datetime) -> None:
    await stores.audit.add_many([entry(now, actor="ada" if n % 3 else "bob", target=str(n)) for n in range(30)])
    seen: list[str] = []
    before: int | None = None
    while page := await stores.audit.list(limit=4, before=before, only=AuditFilter(actor="bob")):
        seen += [found.target for _, found in page]
        before = page[-1][0]
    assert seen == [str(n) for n in range(27, -1, -3)]


async def test_an_entry_comes_back_as_it_was_given(stores: StoreSet, now: datetime) -> None:
    given = entry(now, request_id="r1", credential="T1", job="J0123456789ABCDEFGH", duration_ms=7, details={"ä": ["ö"]})
    await stores.audit.add(given)
    ((number, _),) = await stores.audit.list()
    assert await stores.audit.get(number) == given
    for missing in (number + 1, 0, 2**40):
        with pytest.raises(NotFound):
            await stores.audit.get(missing)
