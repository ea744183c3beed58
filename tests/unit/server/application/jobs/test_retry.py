import pytest

from corral.domain.errors import NotFound, WrongState
from corral.domain.job import JobState
from corral.domain.task import TaskState


async def test_a_retry_is_the_next_attempt_of_what_did_not_succeed_in_the_same_job(world):
    job = await world.submit("n1,n2")
    await world.report(job.id, "n1", TaskState.FAILED, exit_code=1)
    await world.report(job.id, "n2", TaskState.SUCCEEDED, exit_code=0)
    again = await world.room.retry.retry(world.caller, job.id)
    await world.dispatcher.push_waiting()
    assert again.state is JobState.OPEN
    assert world.down.pushed[2:] == [("n1", 2)]
    assert (await world.queries.task(job.id, "n2")).state is TaskState.SUCCEEDED


async def test_a_retry_of_nothing_is_refused(world):
    job = await world.submit("n1")
    with pytest.raises(WrongState, match="the job is open"):
        await world.room.retry.retry(world.caller, job.id)
    await world.report(job.id, "n1", TaskState.SUCCEEDED)
    with pytest.raises(WrongState, match="on the nodes given"):
        await world.room.retry.retry(world.caller, job.id, ["n1"])
    with pytest.raises(NotFound):
        await world.room.retry.retry(world.caller, job.id, ["n9"])


async def test_a_result_of_the_old_attempt_does_not_touch_the_new_one(world):
    job = await world.submit("n1")
    await world.report(job.id, "n1", TaskState.FAILED, exit_code=1)
    await world.room.retry.retry(world.caller, job.id)
    await world.report(job.id, "n1", TaskState.SUCCEEDED, attempt=1, seq=99)
    assert (await world.queries.task(job.id, "n1")).state is TaskState.QUEUED
