"""Approvals in the job's own transactions: in memory, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from corral.domain.approval import Approval, ApprovalRule, ApprovalState, spec_hash
from corral.domain.errors import Denied, NotFound, WrongState
from corral.domain.ids import new_id
from corral.domain.job import CommandSpec, Job, JobState, pinned_hash
from corral.domain.task import Reason, TaskState
from corral.runtime.clock import SystemClock
from corral.server.application.ports.jobs import Decision, NewTask
from corral.server.infrastructure.sql.approvals import SqlApprovalQueries, SqlApprovalRules
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.jobs import SqlJobStore
from corral.server.infrastructure.sql.migrate import migrate
from corral.server.infrastructure.sql.statements import Statement
from corral.testing.store_set import StoreSet

NODES = ["n1", "n2", "n3"]


def asked(job: Job, number: int = 1) -> Approval:
    return Approval(
        id=f"P{number:018d}",
        job=job.id,
        asked_for="rule",
        why="rule 'prod' asks",
        spec_hash=spec_hash(job.spec),
        pinned=job.pinned,
        nodes=job.nodes,
        asked_by="ana",
        asked_user="U1",
        asked_at=job.created_at,
        expires_at=job.expires_at,
    )


async def held(stores: Any, make_job: Callable[..., Job], **changes: Any) -> tuple[Job, Approval]:
    job = make_job(pinned=pinned_hash(NODES), **changes)
    approval = asked(job)
    tasks = [NewTask(node=node, reason=Reason.APPROVAL, due=False) for node in NODES]
    return await stores.add(job, tasks, operation=None, approval=approval), approval


def said(approval: Approval, *, approve: bool = True, by: str = "bob", user: str = "U2", note: str = "") -> Decision:
    return Decision(approval=approval.id, approve=approve, by=by, user=user, note=note)


async def test_nothing_of_a_held_job_goes_out_by_itself(
    stores: StoreSet, make_job: Callable[..., Job], now: datetime
) -> None:
    job, _ = await held(stores.jobs, make_job)
    later = now + timedelta(seconds=30)
    assert await stores.jobs.due(now=later, limit=10) == []
    assert await stores.jobs.open_for("n1", limit=10) == []
    # another task of it ending makes room for nobody
    changed = await stores.jobs.settle_node("n1", state=TaskState.LOST, reason=Reason.NODE_REMOVED, now=later)
    assert (len(changed.tasks), changed.released) == (1, [])
    # and what is tried again waits too
    again = await stores.jobs.retry(job.id, nodes=["n1"], now=later)
    assert again.released == []
    assert (await stores.queries.task(job.id, "n1")).reason is Reason.APPROVAL


async def test_an_approval_lets_all_of_it_go(stores: StoreSet, make_job: Callable[..., Job], now: datetime) -> None:
    job, approval = await held(stores.jobs, make_job)
    made, changed = await stores.jobs.decide(said(approval, note="fine"), now=now)
    assert (made.state, made.decided_by, made.decided_at, made.note) == (ApprovalState.APPROVED, "bob", now, "fine")
    assert sorted(delivery.node for delivery in changed.released) == NODES
    assert {task.reason for task in changed.tasks} == {Reason.DISPATCHED}
    assert [delivery.job for delivery in await stores.jobs.open_for("n2", limit=10)] == [job.id]


async def test_concurrency_holds_after_an_approval_as_ever(
    stores: StoreSet, make_job: Callable[..., Job], now: datetime
) -> None:
    _, approval = await held(stores.jobs, make_job, concurrency=2)
    _, changed = await stores.jobs.decide(said(approval), now=now)
    assert len(changed.released) == 2
    more = await stores.jobs.settle_node("n1", state=TaskState.LOST, reason=Reason.NODE_REMOVED, now=now)
    assert len(more.released) == 1


async def test_a_denial_cancels_the_job_and_says_who_and_why(
    stores: StoreSet, make_job: Callable[..., Job], now: datetime
) -> None:
    job, approval = await held(stores.jobs, make_job)
    made, changed = await stores.jobs.decide(said(approval, approve=False, note="not today"), now=now)
    assert made.state is ApprovalState.DENIED
    assert {(task.state, task.detail) for task in changed.tasks} == {(TaskState.CANCELLED, "denied by bob: not today")}
    assert (await stores.queries.get(job.id)).state is JobState.CANCELLED
    assert changed.released == []


@pytest.mark.parametrize(("by", "user"), [("ana", ""), ("ana-laptop", "U1")])
async def test_who_asked_may_not_decide_under_any_name(
    stores: StoreSet, make_job: Callable[..., Job], now: datetime, by: str, user: str
) -> None:
    _, approval = await held(stores.jobs, make_job)
    for approve in (True, False):
        with pytest.raises(Denied, match="second person"):
            await stores.jobs.decide(said(approval, approve=approve, by=by, user=user), now=now)
    assert await stores.jobs.open_for("n1", limit=10) == []


async def test_it_is_decided_once_and_not_after_the_job_is_over(
    stores: StoreSet, make_job: Callable[..., Job], now: datetime
) -> None:
    _, approval = await held(stores.jobs, make_job)
    await stores.jobs.decide(said(approval), now=now)
    with pytest.raises(WrongState, match="does not wait"):
        await stores.jobs.decide(said(approval), now=now)
    with pytest.raises(NotFound):
        await stores.jobs.decide(replace(said(approval), approval="P000000000000000009"), now=now)


async def test_a_cancel_withdraws_it(stores: StoreSet, make_job: Callable[..., Job], now: datetime) -> None:
    job, approval = await held(stores.jobs, make_job)
    changed = await stores.jobs.cancel(job.id, nodes=None, now=now)
    assert {task.state for task in changed.tasks} == {TaskState.CANCELLED}
    with pytest.raises(WrongState, match="does not wait"):
        await stores.jobs.decide(said(approval), now=now)


# --- on a disk ------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    db = Database(url)
    try:
        await migrate(db)
        yield db
    finally:
        await db.close()


@pytest.mark.parametrize(
    "tampering",
    [
        "update jobs set spec = replace(spec, 'uptime', 'reboot')",
        "update jobs set pinned = 'another'",
        "update tasks set node = 'n9' where node = 'n2'",
        "delete from tasks where node = 'n2'",
    ],
)
async def test_what_was_changed_in_the_database_meanwhile_is_not_approved(
    db: Database, make_job: Callable[..., Job], now: datetime, tampering: str
) -> None:
    store = SqlJobStore(db)
    _, approval = await held(store, make_job)
    async with db.write() as tx:
        await tx.run(Statement(tampering))
    with pytest.raises(WrongState, match="not what was asked for"):
        await store.decide(said(approval), now=now)
    assert await store.open_for("n1", limit=10) == []
    # but it can still be denied
    made, _ = await store.decide(said(approval, approve=False), now=now)
    assert made.state is ApprovalState.DENIED


async def test_what_is_over_is_shown_as_withdrawn_or_expired(
    db: Database, make_job: Callable[..., Job], now: datetime
) -> None:
    store, clock = SqlJobStore(db), SystemClock()
    queries = SqlApprovalQueries(db, clock)
    job, approval = await held(store, make_job, expires_at=clock.now() + timedelta(hours=1))
    assert (await queries.get(approval.id)).state is ApprovalState.PENDING
    assert (await queries.of_job(job.id)) == await queries.get(approval.id)
    await store.cancel(job.id, nodes=None, now=now)
    assert (await queries.get(approval.id)).state is ApprovalState.WITHDRAWN
    assert [item.id for item in (await queries.list(states=[ApprovalState.WITHDRAWN])).items] == [approval.id]
    assert (await queries.list(states=[ApprovalState.PENDING])).items == []
    with pytest.raises(NotFound):
        await queries.get("P000000000000000009")


async def test_approvals_come_in_pages_the_newest_first(db: Database, make_job: Callable[..., Job]) -> None:
    store, queries = SqlJobStore(db), SqlApprovalQueries(db, SystemClock())
    for number in range(1, 6):
        job = replace(make_job(pinned=pinned_hash(NODES)), id=new_id("J", number, b"abcdef"))
        tasks = [NewTask(node=node, reason=Reason.APPROVAL, due=False) for node in NODES]
        await store.add(job, tasks, operation=None, approval=asked(job, number))
    seen: list[str] = []
    cursor = None
    while True:
        page = await queries.list(limit=2, cursor=cursor)
        seen += [item.id for item in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert seen == [f"P{number:018d}" for number in (5, 4, 3, 2, 1)]


async def test_rules_are_kept_replaced_and_removed(db: Database, now: datetime) -> None:
    rules = SqlApprovalRules(db)
    rule = ApprovalRule(
        name="prod", kinds=("exec", "file"), selector="web-*", min_nodes=3, changed_at=now, changed_by="ana"
    )
    await rules.put(rule)
    await rules.put(replace(rule, reading=True))
    assert await rules.list() == [replace(rule, reading=True)]
    await rules.delete("prod")
    with pytest.raises(NotFound):
        await rules.delete("prod")


def test_the_digest_does_not_depend_on_how_a_spec_is_written() -> None:
    one = CommandSpec(argv=("a",), env={"A": "1", "B": "2"})
    assert spec_hash(one) == spec_hash(CommandSpec(argv=("a",), env={"B": "2", "A": "1"}))
    assert spec_hash(one) != spec_hash(CommandSpec(argv=("a",), env={"A": "1", "B": "3"}))
    assert spec_hash(CommandSpec(argv=("a",))) != spec_hash(CommandSpec(shell="a"))
