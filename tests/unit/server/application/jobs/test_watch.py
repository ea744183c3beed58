import asyncio
from contextlib import aclosing

import pytest

from corral.domain.errors import NotFound
from corral.domain.job import JobState
from corral.domain.task import Reason, TaskState
from corral.runtime.lifecycle import TaskSet
from corral.server.application.jobs.events import EventHub
from corral.server.application.jobs.watch import End, JobChanged, Snapshot, TasksChanged
from corral.server.application.ports.jobs import Changed, OutputChunk


class Watcher:
    """Reads a watch in the background and keeps what it said."""

    def __init__(self, watched):
        self.events = []
        self._watched = watched
        self._tasks = TaskSet("watcher")
        self.task = self._tasks.start(self._read(), name="read")

    async def _read(self):
        async with aclosing(self._watched):
            async for event in self._watched:
                self.events.append(event)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    async def close(self):
        await self._tasks.close()


@pytest.fixture
async def watch(world):
    watchers = []

    async def start(job, **options):
        watcher = Watcher(await world.room.watching.job(world.caller, job.id, **options))
        watchers.append(watcher)
        return watcher

    yield start
    for watcher in watchers:
        await watcher.close()


async def test_a_watcher_hears_snapshot_changes_output_and_the_end_in_that_order(world, watch, eventually):
    job = await world.submit("n1")
    watcher = await watch(job, output=True)
    await eventually(lambda: watcher.of(Snapshot))
    world.log.say("n1", b"hello", job=job.id)
    await eventually(lambda: watcher.of(OutputChunk))
    await world.report(job.id, "n1", TaskState.RUNNING)
    await eventually(lambda: watcher.of(TasksChanged))
    world.log.say("n1", b" world", job=job.id, offset=5)
    await world.report(job.id, "n1", TaskState.SUCCEEDED, stdout_bytes=11)
    await asyncio.wait_for(watcher.task, 5)
    assert b"".join(c.data for c in watcher.of(OutputChunk)) == b"hello world"
    assert [c.sequence for c in watcher.of(OutputChunk)] == [1, 2]
    assert isinstance(watcher.events[0], Snapshot) and isinstance(watcher.events[-1], End)
    assert watcher.events[-1].job.state is JobState.SUCCEEDED
    assert watcher.of(TasksChanged)[-1].tasks[0].state is TaskState.SUCCEEDED
    assert world.counters["watchers"] == 0 and world.log.followers == 0


async def test_a_job_that_is_over_is_a_snapshot_its_output_and_the_end(world, watch):
    job = await world.submit("n1")
    for i in range(300):
        world.log.say("n1", b"x", job=job.id, offset=i)
    await world.report(job.id, "n1", TaskState.SUCCEEDED)
    watcher = await watch(job, output=True)
    await asyncio.wait_for(watcher.task, 5)
    assert len(watcher.of(OutputChunk)) == 300
    assert [type(e) for e in (watcher.events[0], watcher.events[-1])] == [Snapshot, End]


async def test_output_goes_on_after_the_sequence_a_reconnect_names(world, watch):
    job = await world.submit("n1")
    for i in range(3):
        world.log.say("n1", b"x", job=job.id, offset=i)
    await world.report(job.id, "n1", TaskState.SUCCEEDED)
    watcher = await watch(job, output=True, after=2)
    await asyncio.wait_for(watcher.task, 5)
    assert [c.sequence for c in watcher.of(OutputChunk)] == [3]


async def test_a_sequence_from_before_the_store_was_wiped_means_from_the_start(world, watch):
    job = await world.submit("n1")
    world.log.say("n1", b"x", job=job.id)
    await world.report(job.id, "n1", TaskState.SUCCEEDED)
    watcher = await watch(job, output=True, after=5000)
    await asyncio.wait_for(watcher.task, 5)
    assert [c.sequence for c in watcher.of(OutputChunk)] == [1]


async def test_output_that_a_foreign_node_wrote_under_the_job_is_not_passed_on(world, watch):
    job = await world.submit("n1")
    world.log.say("n2", b"forged", job=job.id)
    world.log.say("n1", b"real", job=job.id)
    await world.report(job.id, "n1", TaskState.SUCCEEDED)
    watcher = await watch(job, output=True)
    await asyncio.wait_for(watcher.task, 5)
    assert [c.data for c in watcher.of(OutputChunk)] == [b"real"]


async def test_changes_another_server_made_are_seen_by_looking(world, watch):
    job = await world.submit("n1")
    watcher = await watch(job)
    hub, world.aftermath._events = world.aftermath._events, EventHub(counters=world.counters)
    await world.report(job.id, "n1", TaskState.SUCCEEDED)
    await asyncio.wait_for(watcher.task, 5)
    assert watcher.of(Snapshot)[-1].tasks[0].state is TaskState.SUCCEEDED
    assert isinstance(watcher.events[-1], End)
    assert hub is world.events


async def test_a_watcher_that_fell_behind_gets_a_new_snapshot(world, watch, eventually):
    world.events._limit = 1
    job = await world.submit()
    watcher = await watch(job)
    await eventually(lambda: watcher.of(Snapshot))
    tasks = (await world.queries.tasks(job.id)).items
    world.events.publish(Changed(tasks=tasks))
    await eventually(lambda: len(watcher.of(Snapshot)) == 2)
    assert world.counters["event_resyncs_total"] == 1


async def test_an_older_change_heard_later_is_not_passed_on(world, watch, eventually):
    job = await world.submit("n1")
    old = await world.queries.task(job.id, "n1")
    await world.report(job.id, "n1", TaskState.RUNNING)
    watcher = await watch(job)
    await eventually(lambda: watcher.of(Snapshot))
    world.events.publish(Changed(tasks=[old]))
    await world.report(job.id, "n1", TaskState.FAILED, exit_code=2)
    await asyncio.wait_for(watcher.task, 5)
    said = [t.state for e in watcher.of(TasksChanged) for t in e.tasks]
    assert said == [TaskState.FAILED]


async def test_the_counts_of_a_busy_job_are_told_now_and_then(world, watch, eventually):
    job = await world.submit()
    watcher = await watch(job)
    await eventually(lambda: watcher.of(Snapshot))
    await world.report(job.id, "n1", TaskState.SUCCEEDED)
    await eventually(lambda: watcher.of(JobChanged))
    assert watcher.of(JobChanged)[0].job.counts[TaskState.SUCCEEDED] == 1


async def test_a_watcher_that_leaves_frees_what_it_held(world, watch, eventually):
    job = await world.submit("n1")
    watcher = await watch(job, output=True)
    await eventually(lambda: world.log.followers == 1)
    await watcher.close()
    assert world.counters["watchers"] == 0
    assert world.log.followers == 0


async def test_output_alone_comes_without_task_news_and_follows_until_the_end(world, eventually):
    job = await world.submit("n1,n2")
    world.log.say("n1", b"a", job=job.id)
    world.log.say("n2", b"b", job=job.id)
    stored = [e async for e in await world.room.watching.output(world.caller, job.id, node="n1")]
    assert [type(e) for e in stored] == [OutputChunk, End]
    follower = Watcher(await world.room.watching.output(world.caller, job.id, follow=True))
    await eventually(lambda: len(follower.of(OutputChunk)) == 2)
    world.log.say("n1", b"c", job=job.id, offset=1)
    for node in ("n1", "n2"):
        await world.report(job.id, node, TaskState.SUCCEEDED)
    await asyncio.wait_for(follower.task, 5)
    assert [type(e) for e in follower.events] == [OutputChunk] * 3 + [End]


async def test_an_unknown_job_is_said_before_anything_is_sent(world):
    with pytest.raises(NotFound):
        await world.room.watching.job(world.caller, "J" + "0" * 18)


async def test_presence_is_shown_on_tasks_that_are_out(world, watch, eventually):
    job = await world.submit("n1,n2")
    await world.report(job.id, "n1", TaskState.RUNNING)
    world.fleet.away = {"n1", "n2"}
    watcher = await watch(job)
    await eventually(lambda: watcher.of(Snapshot))
    shown = {t.node: t for t in watcher.of(Snapshot)[0].tasks}
    assert shown["n1"].unreachable
    assert (shown["n2"].unreachable, shown["n2"].reason) == (False, Reason.OFFLINE)
