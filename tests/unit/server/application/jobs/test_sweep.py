import asyncio

from corral.domain.errors import Unavailable
from corral.domain.job import JobState
from corral.domain.task import Reason, TaskState
from corral.runtime.lifecycle import TaskSet
from corral.server.application.jobs.sweep import LISTEN_SECONDS, Sweeper
from corral.server.application.ports.jobs import Changed


async def test_what_was_not_delivered_in_time_expires_and_ends_the_job(world):
    job = await world.submit("n1", expires_seconds=60)
    await world.clock.advance(80)
    await world.sweeper.step()
    assert (await world.queries.task(job.id, "n1")).state is TaskState.QUEUED
    await world.clock.advance(15)
    await world.sweeper.step()
    task = await world.queries.task(job.id, "n1")
    assert (task.state, task.reason) == (TaskState.EXPIRED, Reason.NOT_DELIVERED)
    assert (await world.queries.get(job.id)).state is JobState.FAILED
    assert world.counters["tasks_swept_total"] == 1


class Recording:
    def __init__(self):
        self.lost_before = []

    async def expire(self, *, now, lost_before):
        self.lost_before.append((now - lost_before).total_seconds())
        return Changed()


async def test_nobody_is_lost_until_we_have_been_able_to_hear_nodes_for_a_while(world):
    hearing, store = [True], Recording()
    sweeper = Sweeper(
        store=store, aftermath=world.aftermath, clock=world.clock, counters=world.counters, hearing=lambda: hearing[0]
    )
    decade = 10 * 365 * 86400
    await sweeper.step()
    assert store.lost_before[-1] > decade
    await world.clock.advance(LISTEN_SECONDS)
    await sweeper.step()
    assert store.lost_before[-1] == 3600
    hearing[0] = False
    await sweeper.step()
    assert store.lost_before[-1] > decade
    hearing[0] = True
    await sweeper.step()
    assert store.lost_before[-1] > decade


async def test_a_server_without_the_lease_sweeps_nothing(world):
    store = Recording()
    sweeper = Sweeper(
        store=store, aftermath=world.aftermath, clock=world.clock, counters=world.counters, leader=lambda: False
    )
    await sweeper.step()
    assert store.lost_before == []


async def test_a_sweep_that_fails_is_tried_again_and_a_hook_that_fails_does_not_stop_the_next(world):
    calls = []

    async def failing(now):
        calls.append("failing")
        raise Unavailable("cannot clean: away")

    async def working(now):
        calls.append("working")

    class Failing(Recording):
        async def expire(self, *, now, lost_before):
            await super().expire(now=now, lost_before=lost_before)
            if len(self.lost_before) == 1:
                raise Unavailable("cannot write: away")
            return Changed()

    store = Failing()
    sweeper = Sweeper(
        store=store,
        aftermath=world.aftermath,
        clock=world.clock,
        counters=world.counters,
        retention=(failing, working),
    )
    tasks, ready = TaskSet("test"), asyncio.Event()
    tasks.start(sweeper.run(ready.set), name="sweeper")
    await ready.wait()
    await world.clock.advance(12)
    assert len(store.lost_before) == 2
    assert calls == ["failing", "working"]
    await tasks.close()
