"""The stores of the rollouts room, the same on all three databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from corral.domain.errors import Conflict, NotFound
from corral.domain.job import CommandSpec, Job
from corral.domain.rollout_state import (
    Gate,
    GateKind,
    GateState,
    Hold,
    Limit,
    OnFailure,
    Rollout,
    RolloutState,
    Settings,
    Stage,
    Tolerance,
)
from corral.domain.task import Outcome, TaskState
from corral.server.application.ports.jobs import Fence, NewTask, Reported
from corral.server.application.ports.rollouts import Change, Changes
from corral.testing.store_set import StoreSet

CHANGES = Changes(forward=Change(spec=CommandSpec(argv=("deploy", "ä\0"), stdin=b"\xff"), concurrency=3, retries=1))


def rollout(now: datetime, number: int = 1, **fields: Any) -> Rollout:
    made = Rollout(
        id=f"R{number:018d}",
        name="web",
        target="all",
        kind="exec",
        line="deploy",
        strategy="count:1,0",
        settings=Settings(
            stage_deadline_seconds=60.5,
            max_failed=Tolerance(stage=Limit(number=10, percent=True), whole=Limit(number=3)),
            gates=(Gate(kind=GateKind.COMMAND, argv=("true",)), Gate(kind=GateKind.HTTP, url="http://a/", expect=204)),
            on_failure=OnFailure.ROLLBACK,
            auto_advance=True,
        ),
        stages=(Stage(name="1 node", nodes=("n1",)), Stage(name="the rest", nodes=("n2", "n3"))),
        pinned="sha256:x",
        created_at=now,
        created_by="ann",
    )
    return replace(made, **fields)


async def test_what_is_stored_is_what_is_read(stores: StoreSet, now: datetime) -> None:
    first = rollout(now)
    assert await stores.rollouts.add(first, CHANGES, operation="op") == first
    assert await stores.rollouts.get(first.id) == first
    assert await stores.rollouts.changes(first.id) == CHANGES
    assert await stores.rollouts.attention() == {first.id: 1}
    with pytest.raises(NotFound):
        await stores.rollouts.get("R0")
    with pytest.raises(NotFound):
        await stores.rollouts.changes("R0")


async def test_the_same_operation_makes_one_rollout(stores: StoreSet, now: datetime) -> None:
    await stores.rollouts.add(rollout(now, 1), CHANGES, operation="op")
    assert (await stores.rollouts.add(rollout(now, 2), CHANGES, operation="op")).id == rollout(now, 1).id
    await stores.rollouts.add(rollout(now, 3), CHANGES, operation=None)
    await stores.rollouts.add(rollout(now, 4), CHANGES, operation=None)
    assert [found.id for found in (await stores.rollouts.list()).items] == [rollout(now, n).id for n in (4, 3, 1)]


async def test_saving_keeps_everything_that_moves_and_counts_the_version(stores: StoreSet, now: datetime) -> None:
    made = await stores.rollouts.add(rollout(now), CHANGES, operation=None)
    stage = replace(
        made.stages[0], job="J1", started_at=now, deadline_at=now + timedelta(seconds=60), checked_at=now, ended_at=now,
        gate=GateState.FAILED, why="ü\0", round=2, cut=True,
    )  # fmt: skip
    moved = replace(
        made, state=RolloutState.PAUSED, hold=Hold.FAILED, reason="stage 1 failed", approved=1, stages=(stage, made.stages[1]),
        back=(Stage(name="what failed", nodes=("n1",), job="J2"),), rollback_asked_at=now, finished_at=now,
    )  # fmt: skip
    back = Change(spec=CommandSpec(shell="undo"))
    saved = await stores.rollouts.save(moved, back=back)
    assert saved.resource_version == 2
    assert await stores.rollouts.get(made.id) == saved
    assert await stores.rollouts.changes(made.id) == replace(CHANGES, back=back)


async def test_an_old_version_is_not_saved_over_a_newer_one(stores: StoreSet, now: datetime) -> None:
    made = await stores.rollouts.add(rollout(now), CHANGES, operation=None)
    await stores.rollouts.save(replace(made, reason="first"))
    with pytest.raises(Conflict) as caught:
        await stores.rollouts.save(replace(made, reason="second"))
    assert caught.value.retryable
    assert (await stores.rollouts.get(made.id)).reason == "first"


async def test_only_the_leader_of_now_writes_with_a_token(stores: StoreSet, now: datetime) -> None:
    made = await stores.rollouts.add(rollout(now), CHANGES, operation=None)
    token = await stores.leases.acquire("leader", "a", seconds=6, now=now)
    made = await stores.rollouts.save(made, token=token)
    later = now + timedelta(seconds=10)
    assert await stores.leases.acquire("leader", "b", seconds=6, now=later) != token
    with pytest.raises(Conflict):
        await stores.rollouts.save(made, token=token)


async def test_lists_are_paged_and_filtered_and_ended_ones_need_no_attention(stores: StoreSet, now: datetime) -> None:
    for number in range(1, 6):
        state = RolloutState.SUCCEEDED if number % 2 else RolloutState.PAUSED
        await stores.rollouts.add(rollout(now, number, state=state), CHANGES, operation=None)
    page = await stores.rollouts.list(limit=2)
    rest = await stores.rollouts.list(limit=9, cursor=page.next)
    assert [found.id[-1] for found in (*page.items, *rest.items)] == ["5", "4", "3", "2", "1"]
    assert rest.next is None
    done = await stores.rollouts.list(states=[RolloutState.SUCCEEDED])
    assert [found.id[-1] for found in done.items] == ["5", "3", "1"]
    assert [id_[-1] for id_ in await stores.rollouts.attention()] == ["2", "4"]
    last = await stores.rollouts.last_named("web")
    assert last is not None and last.id[-1] == "5"
    assert await stores.rollouts.last_named("other") is None


async def test_jobs_are_found_by_the_name_of_their_stage(
    stores: StoreSet, now: datetime, make_job: Callable[..., Job]
) -> None:
    job = make_job()
    await stores.jobs.add(job, [NewTask(node="n1"), NewTask(node="n2")], operation="R1/1/forward")
    done = Outcome(
        job=job.id, attempt=1, seq=1, state=TaskState.SUCCEEDED, started_at=now.timestamp(),
        finished_at=now.timestamp(), exit_code=0, result={"changed": False},
    )  # fmt: skip
    await stores.jobs.apply([Reported(node="n2", outcome=done)], now=now)
    found = await stores.stage_jobs.named(["R1/1/forward", "R1/2/forward"])
    assert list(found) == ["R1/1/forward"]
    assert found["R1/1/forward"].id == job.id
    assert found["R1/1/forward"].created_at == now
    assert found["R1/1/forward"].counts == {"queued": 1, "succeeded": 1}
    assert await stores.stage_jobs.named([]) == {}
    tasks = await stores.stage_jobs.tasks(job.id)
    assert (tasks["n1"].state, tasks["n1"].started, tasks["n1"].changed) == (TaskState.QUEUED, False, None)
    assert (tasks["n2"].state, tasks["n2"].started, tasks["n2"].changed) == (TaskState.SUCCEEDED, True, False)


async def test_a_job_behind_a_fence_is_made_only_while_it_holds(
    stores: StoreSet, now: datetime, make_job: Callable[..., Job]
) -> None:
    made = await stores.rollouts.add(rollout(now), CHANGES, operation=None)
    token = await stores.leases.acquire("leader", "a", seconds=6, now=now)
    assert token is not None
    for bad in (
        Fence(token=token, rollout=made.id, version=made.resource_version + 1),
        Fence(token=token + 1, rollout=made.id, version=made.resource_version),
        Fence(token=token, rollout="R0", version=1),
    ):
        job = make_job()
        with pytest.raises(Conflict) as caught:
            await stores.jobs.add(job, [NewTask(node="n1")], operation="op", fence=bad)
        assert caught.value.retryable
        with pytest.raises(NotFound):
            await stores.queries.get(job.id)
    good = Fence(token=token, rollout=made.id, version=made.resource_version)
    job = make_job()
    assert (await stores.jobs.add(job, [NewTask(node="n1")], operation="op", fence=good)).id == job.id


async def test_what_an_earlier_attempt_changed_counts(
    stores: StoreSet, now: datetime, make_job: Callable[..., Job]
) -> None:
    job = make_job()
    await stores.jobs.add(job, [NewTask(node="n1"), NewTask(node="n2")], operation=None)
    for attempt, state, changed in ((1, TaskState.FAILED, True), (2, TaskState.SUCCEEDED, False)):
        said = Outcome(
            job=job.id, attempt=attempt, seq=1, state=state, finished_at=now.timestamp(), result={"changed": changed}
        )  # fmt: skip
        await stores.jobs.apply([Reported(node="n1", outcome=said)], now=now)
        if attempt == 1:
            await stores.jobs.retry(job.id, nodes=["n1"], now=now)
    tasks = await stores.stage_jobs.tasks(job.id)
    assert (tasks["n1"].state, tasks["n1"].changed, tasks["n1"].started) == (TaskState.SUCCEEDED, True, True)
    assert tasks["n2"].changed is None
