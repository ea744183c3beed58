"""Rollouts on a real server with simulated nodes: stages stop by themselves, people steer, and kill -9 touches nobody twice."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from corral.domain.errors import CorralError, Invalid
from corral.runtime.clock import SystemClock
from corral.sdk.rollouts import NewRollout, Rollout
from corral.testing.stack import Stack

NODES = 9
CLOCK = SystemClock()
PATIENCE_SECONDS = 60.0


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    async with Stack.temporary() as made:
        await made.simulate(NODES, processes=1)
        yield made


@pytest.fixture
def log() -> Any:
    """Where the commands of a test write one line a run: `<node>.<job>.<attempt>`."""
    folder = Path(tempfile.mkdtemp(prefix="corral-rollout-"))
    yield folder / "log"
    shutil.rmtree(folder)


def new(log: Path, shell: str = "", **fields: Any) -> NewRollout:
    change = {"shell": f"echo $CORRAL_TASK >> {log}; {shell}", "timeout": 30}
    return NewRollout(**{"name": "web", "target": "all", "strategy": "count:2,3,0", "change": change, **fields})


async def until(stack: Stack, rollout: str, reached: Callable[[Rollout], bool]) -> Rollout:
    deadline = CLOCK.monotonic() + PATIENCE_SECONDS
    found = None
    while CLOCK.monotonic() < deadline:
        try:
            found = await stack.fleet.rollouts.get(rollout)
        except CorralError:
            if stack.server is not None and stack.server.returncode is None:
                raise
        if found is not None and reached(found):
            return found
        await CLOCK.sleep(0.05)
    raise AssertionError(f"not reached: {found}\n{stack.log_tail()}")


def runs(log: Path) -> Counter[str]:
    """Node → how often the command ran on it."""
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter(line.split(".")[0] for line in lines)


async def test_three_stages_pass_one_after_the_other_and_wait_to_be_let_on(stack: Stack, log: Path) -> None:
    made = await stack.fleet.rollouts.create(new(log))
    assert [len(stage.nodes) for stage in made.stages] == [2, 3, 4]
    for stage, touched in ((1, 2), (2, 5)):
        found = await until(stack, made.rollout, lambda r: r.hold == "advance")
        assert (found.stage, len(runs(log))) == (stage, touched)
        await stack.fleet.rollouts.advance(made.rollout)
    found = await until(stack, made.rollout, lambda r: r.over)
    assert found.succeeded
    assert runs(log) == dict.fromkeys(made.stages[0].nodes + made.stages[1].nodes + made.stages[2].nodes, 1)
    assert [stage.counts for stage in found.stages] == [{"succeeded": 2}, {"succeeded": 3}, {"succeeded": 4}]


async def test_a_third_stage_that_fails_stops_the_rollout_and_it_is_taken_back(stack: Stack, log: Path) -> None:
    fails = "case $CORRAL_TASK in sim-00007.*) exit 3;; esac"
    made = await stack.fleet.rollouts.create(new(log, fails, auto_advance=True))
    found = await until(stack, made.rollout, lambda r: r.state == "paused")
    assert found.hold == "failed"
    assert found.reason == "stage 3 failed: 1 of 4 nodes failed, 0 allowed in a stage"
    assert any("sim-00007" in line for line in (await stack.fleet.rollouts.why(made.rollout)).lines)
    with pytest.raises(Invalid, match="nothing is known that undoes it"):
        await stack.fleet.rollouts.roll_back(made.rollout)
    back = log.with_name("back")
    await stack.fleet.rollouts.roll_back(made.rollout, {"shell": f"echo $CORRAL_TASK >> {back}"})
    found = await until(stack, made.rollout, lambda r: r.over)
    assert found.state == "rolled_back"
    assert found.rollback[0].nodes == ("sim-00007",)
    assert runs(back) == runs(log)


async def test_on_failure_rollback_needs_nobody(stack: Stack, log: Path) -> None:
    back = log.with_name("back")
    undo = {"shell": f"echo $CORRAL_TASK >> {back}"}
    fails = "case $CORRAL_TASK in sim-00004.*) exit 3;; esac"
    options = {"auto_advance": True, "on_failure": "rollback", "rollback_command": undo}
    made = await stack.fleet.rollouts.create(new(log, fails, **options))
    found = await until(stack, made.rollout, lambda r: r.over)
    assert found.state == "rolled_back"
    assert set(runs(back)) == {f"sim-0000{n}" for n in range(1, 6)}
    assert set(runs(back).values()) == {1}


async def test_kill_9_in_the_middle_of_stages_touches_nobody_twice(stack: Stack, log: Path) -> None:
    """Once while a stage runs, once between a stage's job and its record."""
    made = await stack.fleet.rollouts.create(new(log, "sleep 1", auto_advance=True))
    await until(stack, made.rollout, lambda r: r.stage == 1)
    assert stack.server is not None
    os.kill(stack.server.pid, signal.SIGKILL)
    await stack.server.wait()
    await stack.start_server(env={"CORRAL_FAILPOINT": "stage_submitted:kill"})
    deadline = CLOCK.monotonic() + PATIENCE_SECONDS
    while stack.server.returncode is None:
        assert CLOCK.monotonic() < deadline, "stage 2 never began"
        await CLOCK.sleep(0.05)
    began = CLOCK.monotonic()
    await stack.start_server()
    found = await until(stack, made.rollout, lambda r: r.stage >= 2)
    assert CLOCK.monotonic() - began < 12, "it goes on within one lease period of the start"
    found = await until(stack, made.rollout, lambda r: r.over)
    assert found.succeeded, found.reason
    assert set(runs(log).values()) == {1}
    assert len(runs(log)) == NODES


async def test_a_paused_rollout_starts_nothing_and_offline_nodes_count_as_unreachable(stack: Stack, log: Path) -> None:
    made = await stack.fleet.rollouts.create(new(log, "sleep 0.5", auto_advance=True))
    await stack.fleet.rollouts.pause(made.rollout)
    first = await until(stack, made.rollout, lambda r: r.stages[0].job is None or r.stages[0].ended_at is not None)
    jobs = [job.job for job in await stack.fleet.jobs.list()]
    await CLOCK.sleep(1.5)  # several rounds of the driver
    assert [job.job for job in await stack.fleet.jobs.list()] == jobs
    assert (await stack.fleet.rollouts.get(made.rollout)).stage == first.stage
    await stack.fleet.rollouts.resume(made.rollout)
    assert (await until(stack, made.rollout, lambda r: r.over)).succeeded

    for host in stack.hosts:
        host.kill()
        await host.wait()
    await stack.online(NODES, selector="offline")
    strict = await stack.fleet.rollouts.create(new(log, name="gone", strategy="count:2,0", stage_deadline=5))
    found = await until(stack, strict.rollout, lambda r: r.state == "paused")
    assert "2 of 2 nodes unreachable, 0 allowed in a stage" in found.reason
    assert found.stages[0].gate == "failed"
