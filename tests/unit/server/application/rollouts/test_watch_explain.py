import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from corral.domain.errors import Invalid, NotFound, Unavailable
from corral.domain.rollout_state import Gate, GateKind, RolloutState
from corral.domain.task import TaskState

S = RolloutState


async def lines_of(room, caller, rollout):
    return list((await room.explanation.why(caller, rollout)).lines)


async def test_a_watcher_sees_what_is_then_each_change_then_the_end(room, caller):
    await room.boot()
    rollout = await room.create(strategy="count:0")

    async def watch():
        async with aclosing(await room.listing.watch(caller, rollout)) as views:
            return [(view.rollout.state, dict(view.stages[0].counts)) async for view in views]

    watching = asyncio.ensure_future(watch())
    await room.wait(1)
    await room.step()
    await room.wait(1)
    await room.finish(1, nodes={"n1"})
    await room.wait(1)
    await room.finish(1)
    await room.step()
    await room.wait(1)
    assert await watching == [
        (S.CREATED, {}),
        (S.RUNNING, {"queued": 6}),
        (S.RUNNING, {"queued": 5, "succeeded": 1}),
        (S.SUCCEEDED, {"succeeded": 6}),
    ]
    with pytest.raises(NotFound):
        await room.listing.watch(caller, "R000000000000000009")
    with pytest.raises(Invalid):
        await room.explanation.why(caller, "nothing")


async def test_why_tells_what_is_out_and_until_when(room, caller):
    await room.boot()
    rollout = await room.create(stage_deadline_seconds=100)
    assert await lines_of(room, caller, rollout) == [
        f"Rollout {rollout} (web) is created. 0 of 3 stages passed.",
        f"Next: corral rollout status --follow {rollout}.",
    ]
    await room.step()
    await room.wait(40)
    lines = await lines_of(room, caller, rollout)
    assert "is out; its deadline is in 60 s." in lines[1]
    assert "  2 are not done: n1, n2." in lines
    assert "When a stage fails it pauses." in lines


async def test_why_names_the_gates_that_are_being_asked(room, caller):
    await room.boot()
    rollout = await room.create(gates=(Gate(kind=GateKind.COMMAND, shell="check"),))
    await room.step()
    await room.finish(1)
    await room.step()
    assert any(
        "its gates are being asked" in line and "command 'check'" in line
        for line in await lines_of(room, caller, rollout)
    )


async def test_why_says_how_each_pause_ends(room, caller):
    await room.boot()
    rollout = await room.create(back=None)
    await room.steering.pause(caller, rollout)
    assert f"corral rollout resume {rollout}" in (await lines_of(room, caller, rollout))[-1]
    await room.steering.resume(caller, rollout)
    await room.step()
    await room.finish(1)
    await room.step()
    last = (await lines_of(room, caller, rollout))[-1]
    assert f"corral rollout advance {rollout}" in last
    assert "--rollback-cmd" in last


async def test_why_tells_of_a_rollback_in_vain(room, caller):
    await room.boot()
    rollout = await room.create()
    await room.step()
    await room.finish(1)
    await room.step()
    await room.steering.roll_back(caller, rollout)
    await room.step()
    assert any(line.startswith("Rollback stage 1 (stage 1, 2 nodes") for line in await lines_of(room, caller, rollout))
    await room.finish(1, TaskState.FAILED, direction="back")
    await room.step()
    lines = await lines_of(room, caller, rollout)
    assert "is failed: 2 nodes not back: n1, n2." in lines[0]
    assert lines[-1] == f"Next: corral rollout status {rollout} -o wide."
    stored = room.db.rollouts[rollout]
    stored.rollout = replace(stored.rollout, back=())
    assert "corral rollout rollback" in (await lines_of(room, caller, rollout))[-1]


async def test_the_driver_runs_until_it_is_stopped_and_wakes_when_told(room):
    driver = await room.boot()
    ready = asyncio.Event()
    running = asyncio.ensure_future(driver.run(ready.set))
    await ready.wait()
    await room.create()
    driver.wake()
    async with asyncio.timeout(5):
        while not room.stage_tasks(1):
            await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.parametrize("method", ["attention", "get"])
async def test_a_database_that_is_away_for_a_while_stops_nothing_for_good(room, monkeypatch, method):
    await room.boot()
    await room.create()
    good = getattr(room.store, method)

    async def away(*words):
        raise Unavailable("cannot reach the database")

    monkeypatch.setattr(room.store, method, away)
    await room.step()
    assert room.db.jobs == {}
    monkeypatch.setattr(room.store, method, good)
    await room.step()
    assert len(room.db.jobs) == 1
