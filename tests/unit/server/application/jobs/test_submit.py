import pytest

from corral.domain.errors import BadSelector, Conflict, Invalid, NothingMatched
from corral.domain.job import CommandSpec, JobSpec, JobState, OfflinePolicy, pinned_hash
from corral.domain.task import Reason, TaskState

SPEC = JobSpec(target="all", command=CommandSpec(argv=("true",)))


async def test_what_was_committed_is_pushed_at_once_to_nodes_that_are_there_first(world):
    world.fleet.away = {"n1"}
    job = await world.submit()
    assert world.down.pushed == [("n2", 1), ("n3", 1), ("n1", 1)]
    assert (await world.queries.get(job.id)).counts == {TaskState.QUEUED: 3}
    assert job.pinned == pinned_hash(["n1", "n2", "n3"])
    assert job.created_by == "ann"


async def test_the_answer_holds_the_tasks_as_they_began(world):
    world.fleet.away = {"n1"}
    submitted = await world.room.submission.submit(world.caller, SPEC)
    assert {t.node: t.reason for t in submitted.tasks} == {
        "n1": Reason.OFFLINE,
        "n2": Reason.DISPATCHED,
        "n3": Reason.DISPATCHED,
    }


async def test_concurrency_lets_so_many_out_and_the_next_when_one_ends(world):
    job = await world.submit(concurrency=2)
    assert world.down.pushed == [("n1", 1), ("n2", 1)]
    held = await world.queries.task(job.id, "n3")
    assert held.reason is Reason.CONCURRENCY
    await world.report(job.id, "n1", TaskState.SUCCEEDED)
    assert world.down.pushed[2:] == [("n3", 1)]


async def test_concurrency_is_not_spent_on_nodes_that_are_away(world):
    world.fleet.away = {"n1"}
    await world.submit(concurrency=1)
    assert world.down.pushed == [("n2", 1)]


async def test_offline_skip_ends_the_tasks_of_nodes_that_are_away_and_a_job_of_only_such_ends(world):
    world.fleet.away = {"n1"}
    job = await world.submit(offline=OfflinePolicy.SKIP)
    skipped = await world.queries.task(job.id, "n1")
    assert (skipped.state, skipped.reason) == (TaskState.EXPIRED, Reason.OFFLINE_SKIPPED)
    world.fleet.away = {"n1", "n2", "n3"}
    gone = await world.submit(offline=OfflinePolicy.SKIP)
    assert gone.state is JobState.FAILED and gone.finished_at is not None


async def test_the_same_operation_again_is_the_first_job_and_pushes_nothing(world):
    first = await world.room.submission.submit(world.caller, SPEC, "op-1")
    await world.dispatcher.push_waiting()
    again = await world.room.submission.submit(world.caller, SPEC, "op-1")
    await world.dispatcher.push_waiting()
    assert (again.job.id, again.tasks) == (first.job.id, None)
    assert len(world.down.pushed) == 3


async def test_the_same_operation_with_another_command_is_refused(world):
    await world.room.submission.submit(world.caller, SPEC, "op-1")
    other = JobSpec(target="all", command=CommandSpec(argv=("false",)))
    with pytest.raises(Conflict):
        await world.room.submission.submit(world.caller, other, "op-1")


async def test_an_engine_that_is_away_does_not_fail_a_submission_and_the_tasks_come_due_again(world):
    world.down.broken = True
    await world.submit()
    assert world.counters["dispatch_errors_total"] == 3
    world.down.broken = False
    await world.clock.advance(3)
    await world.dispatcher.sweep()
    assert sorted(world.down.pushed) == [("n1", 1), ("n2", 1), ("n3", 1)]


async def test_a_preview_says_who_would_be_hit_and_stores_nothing(world):
    world.fleet.away = {"n3"}
    preview = await world.room.submission.preview(world.caller, SPEC)
    assert (list(preview.nodes), preview.online, list(preview.offline)) == (["n1", "n2", "n3"], 2, ["n3"])
    assert (await world.queries.list()).items == []


async def test_a_bad_spec_or_a_target_that_matches_nothing_is_refused_before_anything_is_stored(world):
    with pytest.raises(Invalid):
        await world.room.submission.submit(world.caller, JobSpec(target="all", command=CommandSpec()))
    with pytest.raises((NothingMatched, BadSelector)):
        await world.room.submission.submit(world.caller, JobSpec(target="nobody", command=SPEC.command))
    assert (await world.queries.list()).items == []
