"""JobStore and JobQueries, on every database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from corral.domain.errors import Invalid, NotFound
from corral.domain.job import Job, JobState
from corral.domain.node import Node, Presence
from corral.domain.task import Outcome, Reason, TaskState, summary
from corral.server.application.ports.jobs import Changed, NewTask, Reported
from corral.testing.store_set import StoreSet

MakeJob = Callable[..., Job]
SECOND = timedelta(seconds=1)


def said(job: str, node: str, state: TaskState, *, seq: int = 1, attempt: int = 1, **more: object) -> Reported:
    return Reported(node=node, outcome=Outcome(job=job, attempt=attempt, seq=seq, state=state, **more))  # type: ignore[arg-type]  # figures by name


async def submit(stores: StoreSet, job: Job, nodes: Sequence[str], *, due: int | None = None) -> Job:
    tasks = [
        NewTask(node=node, reason=Reason.DISPATCHED, due=True)
        if due is None or number < due
        else NewTask(node=node, due=False)
        for number, node in enumerate(nodes)
    ]
    return await stores.jobs.add(job, tasks, operation=None)


async def states(stores: StoreSet, job: str) -> dict[str, TaskState]:
    """Node → state; checks on the way that the counts are the real counts."""
    tasks = (await stores.queries.tasks(job, limit=5000)).items
    found = await stores.queries.get(job)
    assert dict(found.counts) == summary(task.state for task in tasks)
    return {task.node: task.state for task in tasks}


async def test_a_job_reads_back_as_it_was_written(stores: StoreSet, make_job: MakeJob) -> None:
    job = make_job(name='a "job"\n', concurrency=2, retries=1)
    made = await submit(stores, job, ["n1", "n2", "n3"], due=2)
    assert made.counts == {TaskState.QUEUED: 3}
    assert made.nodes == 3
    found = await stores.queries.get(job.id)
    assert replace(found, resource_version=1) == replace(made, resource_version=1)
    assert found.spec == job.spec
    held = await stores.queries.task(job.id, "n3")
    assert (held.state, held.reason, held.attempt) == (TaskState.QUEUED, Reason.CONCURRENCY, 1)
    assert held.queued_at == job.created_at
    assert held.not_after == job.expires_at


async def test_the_same_operation_again_returns_the_first_job(stores: StoreSet, make_job: MakeJob) -> None:
    first = await stores.jobs.add(make_job(), [NewTask(node="n1")], operation="ada:1")
    again = await stores.jobs.add(make_job(), [NewTask(node="n1"), NewTask(node="n2")], operation="ada:1")
    assert again.id == first.id
    assert again.nodes == 1
    assert len((await stores.queries.list()).items) == 1


async def test_a_job_of_skipped_tasks_only_is_over_at_once(stores: StoreSet, make_job: MakeJob) -> None:
    skipped = NewTask(node="n1", state=TaskState.EXPIRED, reason=Reason.OFFLINE_SKIPPED)
    made = await stores.jobs.add(make_job(), [skipped], operation=None)
    found = await stores.queries.get(made.id)
    assert (found.state, found.finished_at) == (JobState.FAILED, made.created_at)
    assert await stores.jobs.due(now=made.created_at + 10 * SECOND, limit=10) == []


async def test_reports_move_tasks_and_end_the_job(stores: StoreSet, make_job: MakeJob, now: datetime) -> None:
    job = await submit(stores, make_job(), ["n1", "n2"])
    began = now.timestamp() + 1.5
    changed = await stores.jobs.apply(
        [
            said(job.id, "n1", TaskState.RUNNING, delivered_at=began, started_at=began + 0.25),
            said(job.id, "n2", TaskState.DELIVERED, delivered_at=began),
        ],
        now=now + 2 * SECOND,
    )
    assert {task.node: task.state for task in changed.tasks} == {"n1": TaskState.RUNNING, "n2": TaskState.DELIVERED}
    assert changed.ended == ()
    assert await stores.queries.open_digests(["n1", "n2", "n3"]) == {
        "n1": frozenset({(job.id, 1)}),
        "n2": frozenset({(job.id, 1)}),
        "n3": frozenset(),
    }
    changed = await stores.jobs.apply(
        [
            said(job.id, "n1", TaskState.SUCCEEDED, seq=2, exit_code=0, stdout_bytes=5_000_000_000, truncated=True),
            said(job.id, "n2", TaskState.FAILED, seq=3, exit_code=7, detail="no", result={"x": [1]}, cancel={"k": "v"}),
        ],
        now=now + 3 * SECOND,
    )
    assert [ended.id for ended in changed.ended] == [job.id]
    found = await stores.queries.get(job.id)
    assert (found.state, found.finished_at) == (JobState.FAILED, now + 3 * SECOND)
    one = await stores.queries.task(job.id, "n1")
    assert one in changed.tasks
    assert (one.exit_code, one.stdout_bytes, one.truncated, one.seq) == (0, 5_000_000_000, True, 2)
    assert one.started_at == datetime.fromtimestamp(began + 0.25, UTC)
    assert one.finished_at == now + 3 * SECOND
    two = await stores.queries.task(job.id, "n2")
    assert (two.detail, two.result, two.cancel, two.exit_code) == ("no", {"x": [1]}, {"k": "v"}, 7)
    assert await stores.queries.open_count("n1") == 0


async def test_reports_of_one_task_in_one_batch_merge_in_any_order(
    stores: StoreSet, make_job: MakeJob, now: datetime
) -> None:
    job = await submit(stores, make_job(), ["n1"])
    at = now.timestamp()
    batch = [
        said(job.id, "n1", TaskState.SUCCEEDED, seq=3, exit_code=0, finished_at=at + 3),
        said(job.id, "n1", TaskState.DELIVERED, seq=1, delivered_at=at + 1),
        said(job.id, "n1", TaskState.RUNNING, seq=2, started_at=at + 2),
        said(job.id, "n1", TaskState.RUNNING, seq=2, started_at=at + 9),
    ]
    changed = await stores.jobs.apply(batch, now=now)
    assert changed.ignored == 1
    (task,) = changed.tasks
    assert task.state is TaskState.SUCCEEDED
    times = (task.delivered_at, task.started_at, task.finished_at)
    assert times == (now + SECOND, now + 2 * SECOND, now + 3 * SECOND)


async def test_what_is_old_repeated_or_not_theirs_changes_nothing(
    stores: StoreSet, make_job: MakeJob, now: datetime
) -> None:
    job = await submit(stores, make_job(), ["n1"])
    await stores.jobs.apply([said(job.id, "n1", TaskState.RUNNING, seq=5)], now=now)
    before = await stores.queries.task(job.id, "n1")
    batch = [
        said(job.id, "n1", TaskState.RUNNING, seq=5),
        said(job.id, "n1", TaskState.SUCCEEDED, seq=4),
        said(job.id, "n1", TaskState.DELIVERED, seq=6),
        said(job.id, "n1", TaskState.EXPIRED, seq=7),
        said(job.id, "n1", TaskState.LOST, seq=8),
        said(job.id, "n1", TaskState.QUEUED, seq=9),
        said(job.id, "n1", TaskState.SUCCEEDED, seq=9, attempt=2),
        said(job.id, "n2", TaskState.SUCCEEDED),
        said("J0000000000000000000", "n1", TaskState.SUCCEEDED),
        said("\0", "\ud800", TaskState.SUCCEEDED),
    ]
    changed = await stores.jobs.apply(batch, now=now)
    assert changed == Changed(ignored=len(batch))
    assert await stores.queries.task(job.id, "n1") == before
    assert (await states(stores, job.id)) == {"n1": TaskState.RUNNING}


async def test_one_hostile_report_does_not_harm_its_batch(stores: StoreSet, make_job: MakeJob, now: datetime) -> None:
    job = await submit(stores, make_job(), ["n1", "n2"])
    hostile = said(
        job.id,
        "n1",
        TaskState.FAILED,
        seq=2**70,
        detail="nul \0 and \ud800 lone",
        exit_code=2**40,
        signal=-(2**40),
        started_at=float("nan"),
        finished_at=1e300,
        stdout_bytes=2**80,
        stderr_bytes=-5,
        result={"a\0": "\ud800", "n": float("inf")},
    )
    await stores.jobs.apply([hostile, said(job.id, "n2", TaskState.SUCCEEDED)], now=now)
    assert await states(stores, job.id) == {"n1": TaskState.FAILED, "n2": TaskState.SUCCEEDED}
    task = await stores.queries.task(job.id, "n1")
    assert (task.exit_code, task.started_at, task.finished_at) == (2**31 - 1, None, now)
    assert "\0" not in task.detail


async def test_a_result_after_the_task_was_given_up_is_kept_as_late_once(
    stores: StoreSet, make_job: MakeJob, now: datetime
) -> None:
    job = await submit(stores, make_job(), ["n1", "n2"])
    await stores.jobs.apply([said(job.id, node, TaskState.RUNNING) for node in ("n1", "n2")], now=now)
    for node in ("n1", "n2"):
        await stores.jobs.settle_node(node, state=TaskState.LOST, reason=Reason.NODE_REMOVED, now=now)
    before = await stores.queries.get(job.id)
    assert await stores.queries.settled("n1", [(job.id, 1)]) == []
    changed = await stores.jobs.apply([said(job.id, "n1", TaskState.SUCCEEDED, seq=2, exit_code=0)], now=now + SECOND)
    assert [task.late["state"] for task in changed.tasks] == ["succeeded"]
    again = await stores.jobs.apply([said(job.id, "n1", TaskState.FAILED, seq=3, exit_code=1)], now=now + SECOND)
    assert again == Changed(ignored=1)
    task = await stores.queries.task(job.id, "n1")
    assert (task.state, task.late["exit_code"]) == (TaskState.LOST, 0)
    assert replace(await stores.queries.get(job.id), resource_version=0) == replace(before, resource_version=0)
    assert await stores.queries.settled("n1", [(job.id, 1), ("J0", 1)]) == [(job.id, 1), ("J0", 1)]


async def test_the_late_result_of_an_earlier_attempt_is_kept_with_it(
    stores: StoreSet, make_job: MakeJob, now: datetime
) -> None:
    job = await submit(stores, make_job(), ["n1"])
    await stores.jobs.settle_node("n1", state=TaskState.LOST, reason=Reason.JOURNAL_RESET, now=now)
    await stores.jobs.retry(job.id, nodes=None, now=now)
    await stores.jobs.apply([said(job.id, "n1", TaskState.SUCCEEDED, seq=4)], now=now)
    (old,) = await stores.queries.attempts(job.id, "n1")
    assert (old.state, old.attempt, old.late["state"]) == (TaskState.LOST, 1, "succeeded")
    assert await states(stores, job.id) == {"n1": TaskState.QUEUED}


async def test_concurrency_lets_one_out_as_one_ends(stores: StoreSet, make_job: MakeJob, now: datetime) -> None:
    job = await submit(stores, make_job(concurrency=2), ["n1", "n2", "n3", "n4", "n5"], due=2)
    assert [d.node for d in await stores.jobs.due(now=now + 60 * SECOND, limit=10)] == ["n1", "n2"]
    assert await stores.jobs.open_for("n3", limit=10) == []
    changed = await stores.jobs.apply([said(job.id, "n1", TaskState.SUCCEEDED)], now=now)
    assert [d.node for d in changed.released] == ["n3"]
    assert changed.released[0].spec == job.spec
    assert {task.node for task in changed.tasks} == {"n1", "n3"}
    assert (await stores.queries.task(job.id, "n3")).reason is Reason.DISPATCHED
    changed = await stores.jobs.apply(
        [said(job.id, "n2", TaskState.FAILED), said(job.id, "n3", TaskState.RUNNING)], now=now
    )
    assert [d.node for d in changed.released] == ["n4"]
    changed = await stores.jobs.apply(
        [said(job.id, "n3", TaskState.SUCCEEDED, seq=2), said(job.id, "n4", TaskState.SUCCEEDED)], now=now
    )
    assert [d.node for d in changed.released] == ["n5"]
    changed = await stores.jobs.apply([said(job.id, "n5", TaskState.SUCCEEDED)], now=now)
    assert [ended.state for ended in changed.ended] == [JobState.FAILED]


async def test_failures_are_retried_as_often_as_the_job_says(
    stores: StoreSet, make_job: MakeJob, now: datetime
) -> None:
    job = await submit(stores, make_job(retries=2, concurrency=1), ["n1", "n2"], due=1)
    for attempt in (1, 2):
        changed = await stores.jobs.apply(
            [said(job.id, "n1", TaskState.TIMED_OUT, seq=2, attempt=attempt, exit_code=attempt)], now=now
        )
        assert [(d.node, d.attempt, d.cancel) for d in changed.released] == [("n1", attempt + 1, False)]
        assert changed.ended == ()
    assert await states(stores, job.id) == {"n1": TaskState.QUEUED, "n2": TaskState.QUEUED}
    changed = await stores.jobs.apply([said(job.id, "n1", TaskState.FAILED, attempt=3)], now=now)
    assert [d.node for d in changed.released] == ["n2"]
    old = await stores.queries.attempts(job.id, "n1")
    assert [(task.attempt, task.state, task.exit_code) for task in old] == [
        (1, TaskState.TIMED_OUT, 1),
        (2, TaskState.TIMED_OUT, 2),
    ]


async def test_what_was_killed_or_interrupted_is_not_retried_by_itself(
    stores: StoreSet, make_job: MakeJob, now: datetime
) -> None:
    job = await submit(stores, make_job(retries=5), ["n1", "n2", "n3"])
    await stores.jobs.cancel(job.id, nodes=["n3"], now=now)
    changed = await stores.jobs.apply(
        [
            said(job.id, "n1", TaskState.INTERRUPTED),
            said(job.id, "n2", TaskState.REJECTED),
            said(job.id, "n3", TaskState.FAILED, exit_code=1),
        ],
        now=now,
    )
    assert changed.released == []
    assert [ended.state for ended in changed.ended] == [JobState.FAILED]


async def test_cancel_withdraws_what_cannot_have_started_and_asks_the_rest(
    stores: StoreSet, make_job: MakeJob, now: datetime
) -> None:
    job = await submit(stores, make_job(concurrency=3), ["n1", "n2", "n3", "n4"], due=3)
    await stores.jobs.apply([said(job.id, "n1", TaskState.RUNNING)], now=now)
    changed = await stores.jobs.cancel(job.id, nodes=None, offline={"n3"}, now=now)
    assert await states(stores, job.id) == {
        "n1": TaskState.RUNNING,
        "n2": TaskState.QUEUED,
        "n3": TaskState.CANCELLED,
        "n4": TaskState.CANCELLED,
    }
    assert {(d.node, d.cancel) for d in changed.released} == {("n1", True), ("n2", True)}
    assert (await stores.queries.task(job.id, "n4")).reason is Reason.WITHDRAWN
    assert (await stores.queries.get(job.id)).cancel_asked
    due = await stores.jobs.due(now=now + 5 * SECOND, limit=10)
    assert {(d.node, d.cancel, d.published) for d in due} == {("n1", True, 2), ("n2", True, 2)}
    changed = await stores.jobs.apply(
        [
            said(job.id, "n1", TaskState.CANCELLED, seq=2, reason=Reason.KILLED, cancel={"signalled": [7]}),
            said(job.id, "n2", TaskState.CANCELLED, reason=Reason.WITHDRAWN),
        ],
        now=now + 6 * SECOND,
    )
    assert [ended.state for ended in changed.ended] == [JobState.CANCELLED]
    assert await stores.jobs.due(now=now + 600 * SECOND, limit=10) == []
    late = await stores.jobs.apply([said(job.id, "n3", TaskState.SUCCEEDED)], now=now + 7 * SECOND)
    assert [task.late["state"] for task in late.tasks] == ["succeeded"]


async def test_the_real_outcome_wins_over_a_cancel(stores: StoreSet, make_job: MakeJob, now: datetime) -> None:
    job = await submit(stores, make_job(), ["n1"])
    await stores.jobs.cancel(job.id, nodes=None, now=now)
    changed = await stores.jobs.apply([said(job.id, "n1", TaskState.DELIVERED)], now=now)
    assert changed.ended == ()
    assert [d.cancel for d in await stores.jobs.due(now=now + 5 * SECOND, limit=10)] == [True]
    changed = await stores.jobs.apply([said(job.id, "n1", TaskState.SUCCEEDED, seq=2)], now=now)
    assert [ended.state for ended in changed.ended] == [JobState.SUCCEEDED]


async def test_cancel_of_one_node_frees_its_slot(stores: StoreSet, make_job: MakeJob, now: datetime) -> None:
    job = await submit(stores, make_job(concurrency=1), ["n1", "n2"], due=1)
    changed = await stores.jobs.cancel(job.id, nodes=["n1"], offline={"n1"}, now=now)
    assert [(d.node, d.cancel) for d in changed.released] == [("n2", False)]
    with pytest.raises(NotFound):
        await stores.jobs.cancel("J0000000000000000000", nodes=None, now=now)


async def test_retry_opens_the_job_again_for_what_did_not_succeed(
    stores: StoreSet, make_job: MakeJob, now: datetime
) -> None:
    job = await submit(stores, make_job(concurrency=1), ["n1", "n2", "n3"], due=1)
    ends = {"n1": TaskState.SUCCEEDED, "n2": TaskState.FAILED, "n3": TaskState.FAILED}
    for node, state in ends.items():
        await stores.jobs.apply([said(job.id, node, state)], now=now)
    later = now + timedelta(days=2)
    changed = await stores.jobs.retry(job.id, nodes=None, now=later)
    assert [(d.node, d.attempt) for d in changed.released] == [("n2", 2)]
    assert await states(stores, job.id) == {
        "n1": TaskState.SUCCEEDED,
        "n2": TaskState.QUEUED,
        "n3": TaskState.QUEUED,
    }
    found = await stores.queries.get(job.id)
    assert (found.state, found.finished_at, found.expires_at) == (JobState.OPEN, None, later + timedelta(hours=1))
    assert (await stores.queries.task(job.id, "n2")).not_after == later + timedelta(hours=1)
    assert await stores.jobs.retry(job.id, nodes=["n1"], now=later) == Changed()
    changed = await stores.jobs.apply([said(job.id, "n2", TaskState.SUCCEEDED, attempt=2)], now=later)
    assert [(d.node, d.attempt) for d in changed.released] == [("n3", 2)]
    changed = await stores.jobs.apply([said(job.id, "n3", TaskState.SUCCEEDED, attempt=2)], now=later)
    assert [ended.state for ended in changed.ended] == [JobState.SUCCEEDED]


async def test_due_repeats_ever_more_slowly_until_the_node_answers(
    stores: StoreSet, make_job: MakeJob, now: datetime
) -> None:
    job = await submit(stores, make_job(), ["n1"])
    assert await stores.jobs.due(now=now + SECOND, limit=10) == []
    moment, published = now, []
    for wait in (2.5, 5, 10, 20, 75, 75):
        early = await stores.jobs.due(now=moment + timedelta(seconds=wait / 2.5), limit=10)
        assert early == [], f"due again long before {wait} s"
        moment += timedelta(seconds=wait)
        published += [d.published for d in await stores.jobs.due(now=moment, limit=10)]
    assert published == [2, 3, 4, 5, 6, 7]
    await stores.jobs.apply([said(job.id, "n1", TaskState.DELIVERED)], now=moment)
    assert await stores.jobs.due(now=moment + timedelta(minutes=10), limit=10) == []
    assert [d.node for d in await stores.jobs.open_for("n1", limit=10)] == ["n1"]


async def test_due_gives_the_oldest_first_and_nothing_past_its_deadline(
    stores: StoreSet, make_job: MakeJob, now: datetime
) -> None:
    for number in range(3):
        await submit(stores, make_job(created_at=now + number * 10 * SECOND), [f"n{number}"])
    assert [d.node for d in await stores.jobs.due(now=now + 60 * SECOND, limit=2)] == ["n0", "n1"]
    assert [d.node for d in await stores.jobs.due(now=now + 60 * SECOND, limit=2)] == ["n2"]
    assert await stores.jobs.due(now=now + timedelta(hours=2), limit=10) == []


async def test_open_for_says_cancels_first_then_the_oldest_and_pages(
    stores: StoreSet, make_job: MakeJob, now: datetime
) -> None:
    jobs = [await submit(stores, make_job(), ["n1", "n2"]) for _ in range(5)]
    await stores.jobs.apply([said(jobs[2].id, "n1", TaskState.RUNNING)], now=now)
    for number in (3, 2):
        await stores.jobs.cancel(jobs[number].id, nodes=None, now=now)
    wanted = [jobs[number].id for number in (2, 3, 0, 1, 4)]
    assert [d.job for d in await stores.jobs.open_for("n1", limit=10)] == wanted
    seen: list[str] = []
    after = None
    while page := await stores.jobs.open_for("n1", limit=2, after=after):
        seen += [d.job for d in page]
        after = (page[-1].job, page[-1].attempt)
    assert seen == wanted


async def test_expire_ends_what_was_never_delivered_and_loses_what_is_gone(
    stores: StoreSet, make_job: MakeJob, now: datetime
) -> None:
    keys = {"daemon_key": "D", "worker_key": "W", "enrolled_at": now}
    await stores.nodes.add_all([Node(id=node, **keys) for node in ("n1", "n2", "n3")])  # type: ignore[arg-type]  # fields by name
    await stores.nodes.set_presence({"n2": (Presence.OFFLINE, now, "gone"), "n3": (Presence.ONLINE, now, "")})
    job = await submit(stores, make_job(concurrency=3), ["n1", "n2", "n3", "n4"], due=3)
    await stores.jobs.apply([said(job.id, node, TaskState.RUNNING) for node in ("n2", "n3")], now=now)
    deadline = job.expires_at
    assert await stores.jobs.expire(now=deadline + 29 * SECOND, lost_before=now) == Changed()
    changed = await stores.jobs.expire(now=deadline + 31 * SECOND, lost_before=deadline)
    assert {task.node: (task.state, task.reason) for task in changed.tasks} == {
        "n1": (TaskState.EXPIRED, Reason.NOT_DELIVERED),
        "n2": (TaskState.LOST, Reason.NODE_GONE),
        "n4": (TaskState.EXPIRED, Reason.NOT_DELIVERED),
    }
    assert changed.released == []
    assert (await states(stores, job.id))["n3"] is TaskState.RUNNING


async def test_an_unanswered_cancel_becomes_cancelled_when_the_task_expires(
    stores: StoreSet, make_job: MakeJob, now: datetime
) -> None:
    job = await submit(stores, make_job(), ["n1"])
    await stores.jobs.cancel(job.id, nodes=None, now=now)
    changed = await stores.jobs.expire(now=job.expires_at + timedelta(minutes=1), lost_before=now)
    assert [task.state for task in changed.tasks] == [TaskState.CANCELLED]
    assert [ended.state for ended in changed.ended] == [JobState.CANCELLED]


async def test_settle_node_ends_all_it_owes_in_every_job(stores: StoreSet, make_job: MakeJob, now: datetime) -> None:
    first = await submit(stores, make_job(), ["n1", "n2"])
    second = await submit(stores, make_job(concurrency=1), ["n1", "n2"], due=1)
    changed = await stores.jobs.settle_node("n1", state=TaskState.LOST, reason=Reason.NODE_REMOVED, now=now)
    assert {(task.job, task.node, task.state) for task in changed.tasks} == {
        (first.id, "n1", TaskState.LOST),
        (second.id, "n1", TaskState.LOST),
        (second.id, "n2", TaskState.QUEUED),
    }
    assert [(d.job, d.node) for d in changed.released] == [(second.id, "n2")]
    assert await stores.queries.open_count("n1") == 0
    assert await stores.jobs.settle_node("n1", state=TaskState.LOST, reason=Reason.NODE_REMOVED, now=now) == Changed()


async def test_lists_page_by_opaque_cursors(stores: StoreSet, make_job: MakeJob, now: datetime) -> None:
    jobs = [await submit(stores, make_job(), [f"n{n}" for n in range(5)]) for _ in range(5)]
    await stores.jobs.apply([said(jobs[1].id, f"n{n}", TaskState.SUCCEEDED) for n in range(5)], now=now)
    newest_first = [job.id for job in reversed(jobs)]
    seen: list[str] = []
    cursor = None
    while True:
        page = await stores.queries.list(limit=2, cursor=cursor)
        seen += [job.id for job in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert seen == newest_first
    done = await stores.queries.list(states=[JobState.SUCCEEDED, JobState.FAILED])
    assert [job.id for job in done.items] == [jobs[1].id]
    first = await stores.queries.tasks(jobs[0].id, limit=3)
    rest = await stores.queries.tasks(jobs[0].id, limit=3, cursor=first.next)
    assert [task.node for task in (*first.items, *rest.items)] == ["n0", "n1", "n2", "n3", "n4"]
    assert rest.next is None
    ran = await stores.queries.tasks(jobs[1].id, states=[TaskState.SUCCEEDED])
    assert len(ran.items) == 5
    for bad in ("nonsense", "W10", "\0", "WzFd", "x" * 9000):
        with pytest.raises(Invalid):
            await stores.queries.list(cursor=bad)


async def test_an_unknown_job_is_not_found(stores: StoreSet) -> None:
    for ask in (
        stores.queries.get("J1"),
        stores.queries.get("\0"),
        stores.queries.tasks("J1"),
        stores.queries.task("J1", "n1"),
    ):
        with pytest.raises(NotFound):
            await ask


async def test_a_thousand_nodes_are_one_batch(stores: StoreSet, make_job: MakeJob, now: datetime) -> None:
    nodes = [f"n{number:04}" for number in range(1300)]
    job = await submit(stores, make_job(), nodes)
    assert len(await stores.jobs.due(now=now + 10 * SECOND, limit=5000)) == 1300
    changed = await stores.jobs.apply([said(job.id, node, TaskState.SUCCEEDED) for node in nodes], now=now)
    assert len(changed.tasks) == 1300
    assert set((await states(stores, job.id)).values()) == {TaskState.SUCCEEDED}


async def test_jobs_are_found_by_who_when_and_where_on_every_database(stores: StoreSet, make_job: MakeJob) -> None:
    first = await submit(stores, make_job(created_by="ada"), ["n1"])
    second = await submit(stores, make_job(created_by="bob"), ["n2"])
    third = await submit(stores, make_job(created_by="ada"), ["n1", "n2"])

    async def found(**only: object) -> list[str]:
        return [job.id for job in (await stores.queries.list(**only)).items]  # type: ignore[arg-type]  # the filters by name

    when = second.created_at
    assert await found() == [third.id, second.id, first.id]
    assert await found(by="ada") == [third.id, first.id]
    assert await found(by="a'b\0") == []
    assert await found(by="ada", nodes={"n2"}) == [third.id]
    assert await found(since=when - SECOND, until=when + timedelta(hours=1)) == [third.id, second.id, first.id]
    assert await found(since=when + timedelta(hours=1)) == []
    assert await found(until=when - timedelta(hours=1)) == []
    page = await stores.queries.list(by="ada", limit=1)
    assert [job.id for job in (await stores.queries.list(by="ada", limit=1, cursor=page.next)).items] == [first.id]
