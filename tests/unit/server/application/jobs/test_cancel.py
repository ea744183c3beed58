import pytest

from corral.domain.errors import Invalid, NotFound, WrongState
from corral.domain.job import JobState
from corral.domain.task import Reason, TaskState

NOBODY = "J" + "0" * 18


async def test_a_cancel_is_pushed_at_once_and_repeated_until_the_node_answers(world):
    job = await world.submit("n1")
    await world.report(job.id, "n1", TaskState.RUNNING)
    asked = await world.room.cancellation.cancel(world.caller, job.id)
    await world.dispatcher.push_waiting()
    assert asked.cancel_asked and asked.state is JobState.OPEN
    assert world.down.pushed[1:] == [("n1", "cancel")]
    await world.clock.advance(10)
    await world.dispatcher.sweep()
    assert world.down.pushed[2:] == [("n1", "cancel")]
    await world.report(job.id, "n1", TaskState.CANCELLED, reason=Reason.KILLED)
    assert (await world.queries.get(job.id)).state is JobState.CANCELLED


async def test_tasks_held_back_and_tasks_of_nodes_that_are_away_are_withdrawn_at_once(world):
    world.fleet.away = {"n3"}
    job = await world.submit(concurrency=1)
    await world.room.cancellation.cancel(world.caller, job.id)
    states = {n: (await world.queries.task(job.id, n)).state for n in ("n1", "n2", "n3")}
    assert states == {"n1": TaskState.QUEUED, "n2": TaskState.CANCELLED, "n3": TaskState.CANCELLED}


async def test_some_nodes_alone_may_be_cancelled(world):
    job = await world.submit()
    await world.room.cancellation.cancel(world.caller, job.id, ["n2"])
    assert (await world.queries.task(job.id, "n2")).cancel_asked
    assert not (await world.queries.task(job.id, "n1")).cancel_asked


async def test_a_job_that_has_ended_cannot_be_cancelled_but_asking_twice_is_fine(world):
    job = await world.submit("n1")
    await world.report(job.id, "n1", TaskState.SUCCEEDED)
    with pytest.raises(WrongState, match="already succeeded"):
        await world.room.cancellation.cancel(world.caller, job.id)
    other = await world.submit("n1", concurrency=1)
    await world.room.cancellation.cancel(world.caller, other.id)
    await world.report(other.id, "n1", TaskState.CANCELLED, reason=Reason.WITHDRAWN)
    again = await world.room.cancellation.cancel(world.caller, other.id)
    assert again.state is JobState.CANCELLED


async def test_an_unknown_job_or_node_is_named(world):
    with pytest.raises(NotFound):
        await world.room.cancellation.cancel(world.caller, NOBODY)
    with pytest.raises(Invalid):
        await world.room.cancellation.cancel(world.caller, "J1")
    job = await world.submit("n1")
    with pytest.raises(NotFound, match="n2"):
        await world.room.cancellation.cancel(world.caller, job.id, ["n2"])
