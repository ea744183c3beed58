import asyncio

from corral.domain.job import CommandSpec, JobSpec
from corral.domain.task import TaskState
from corral.runtime.lifecycle import TaskSet
from corral.server.application.jobs import dispatch


async def test_what_nobody_answers_is_pushed_again_with_growing_pauses(world):
    await world.submit("n1")
    for seconds, pushes in ((1, 1), (2, 2), (1, 2), (5, 3)):
        await world.clock.advance(seconds)
        await world.dispatcher.sweep()
        assert len(world.down.pushed) == pushes
    assert world.counters["dispatch_republished_total"] == 2


async def test_what_the_node_acknowledged_is_not_pushed_again(world):
    job = await world.submit("n1")
    await world.report(job.id, "n1", TaskState.DELIVERED)
    await world.clock.advance(120)
    await world.dispatcher.sweep()
    assert len(world.down.pushed) == 1


async def test_a_node_that_stays_away_is_left_to_its_sync_after_a_few_pushes(world):
    world.fleet.away = {"n1"}
    await world.submit("n1")
    for _ in range(10):
        await world.clock.advance(100)
        await world.dispatcher.sweep()
    assert len(world.down.pushed) == dispatch.PUSHES_TO_OFFLINE
    assert world.counters["dispatch_skipped_offline_total"] > 0


async def test_sweeps_pause_while_ingest_is_behind(world):
    await world.submit("n1")
    world.dispatcher.behind = lambda: True
    await world.clock.advance(100)
    await world.dispatcher.sweep()
    assert len(world.down.pushed) == 1
    assert world.counters["dispatch_paused_total"] == 1


async def test_the_running_dispatcher_pushes_at_once_without_waiting_for_a_sweep(world, monkeypatch, eventually):
    monkeypatch.setattr(dispatch, "SWEEP_SECONDS", 3600)
    tasks, ready = TaskSet("test"), asyncio.Event()
    tasks.start(world.dispatcher.run(ready.set), name="dispatcher")
    try:
        await ready.wait()
        spec = JobSpec(target="all", command=CommandSpec(argv=("true",)))
        await world.room.submission.submit(world.caller, spec)
        await eventually(lambda: len(world.down.pushed) == 3)
    finally:
        await tasks.close()


async def test_the_running_dispatcher_sweeps_only_on_the_leader(world, monkeypatch, eventually):
    monkeypatch.setattr(dispatch, "SWEEP_SECONDS", 0.001)
    leading = []
    world.dispatcher._leader = lambda: bool(leading)
    await world.submit("n1")
    await world.clock.advance(100)
    tasks, ready = TaskSet("test"), asyncio.Event()
    tasks.start(world.dispatcher.run(ready.set), name="dispatcher")
    try:
        await ready.wait()
        await asyncio.sleep(0.02)
        assert len(world.down.pushed) == 1
        leading.append(True)
        await eventually(lambda: len(world.down.pushed) == 2)
    finally:
        await tasks.close()


async def test_what_is_handed_over_is_bounded_and_the_rest_comes_due(world, monkeypatch):
    monkeypatch.setattr(dispatch, "WAITING_MAX", 2)
    await world.submit()
    assert len(world.down.pushed) == 2
    await world.clock.advance(5)
    await world.dispatcher.sweep()
    assert {node for node, _ in world.down.pushed} == {"n1", "n2", "n3"}
