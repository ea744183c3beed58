"""Rollouts on a real server with simulated nodes: stages stop by themselves, people steer, and kill -9 touches nobody twice."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys
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


async def test_a_file_rollout_that_fails_brings_each_node_back_to_what_it_had_itself(
    stack: Stack, tmp_path: Path
) -> None:
    """Every node held bytes of its own before; the third stage fails on one of them, and nobody has to do anything."""
    nodes = [f"sim-{number:05d}" for number in range(1, NODES + 1)]
    for node in nodes:
        (tmp_path / node).mkdir()
        (tmp_path / node / "conf").write_text(f"what {node} had")
        (tmp_path / node / "conf").chmod(0o640)
    bad = tmp_path / nodes[-1] / "conf"
    bad.unlink()
    bad.mkdir()
    source = tmp_path / "conf"
    source.write_text("what everybody gets")
    revision = await stack.fleet.files.upload(source)
    file = {
        "op": "apply",
        "source": revision.source_path,
        "revision": revision.revision,
        "dest": f"{tmp_path}/{{{{ node.id }}}}/conf",
    }
    made = await stack.fleet.rollouts.create(
        NewRollout(
            name="conf",
            target="all",
            strategy="count:2,3,0",
            change={"kind": "file", "file": file},
            on_failure="rollback",
        )
    )
    for stage, count in ((1, 2), (2, 5)):
        await until(stack, made.rollout, lambda r: r.hold == "advance")
        new = [node for node in nodes[:-1] if (tmp_path / node / "conf").read_bytes() == source.read_bytes()]
        assert len(new) == count, f"after stage {stage}"
        await stack.fleet.rollouts.advance(made.rollout)
    found = await until(stack, made.rollout, lambda r: r.over)
    assert found.state == "rolled_back"
    assert found.reason == "stage 3 failed: 1 of 4 nodes failed, 0 allowed in a stage"
    for node in nodes[:-1]:
        path = tmp_path / node / "conf"
        assert (path.read_text(), path.stat().st_mode & 0o777) == (f"what {node} had", 0o640)
    assert bad.is_dir()
    assert nodes[-1] not in {node for stage in found.rollback for node in stage.nodes}, "it never changed"


async def test_an_abort_stops_the_stage_that_is_out_and_nothing_more_begins(stack: Stack, log: Path) -> None:
    made = await stack.fleet.rollouts.create(new(log, "sleep 30", auto_advance=True))
    deadline = CLOCK.monotonic() + PATIENCE_SECONDS
    while len(runs(log)) < 2:
        assert CLOCK.monotonic() < deadline
        await CLOCK.sleep(0.05)
    aborted = await stack.fleet.rollouts.abort(made.rollout)
    assert (aborted.state, aborted.reason) == ("failed", "aborted by admin")
    found = await until(stack, made.rollout, lambda r: sum(r.stages[0].counts.get(s, 0) for s in ("cancelled",)) == 2)
    assert [stage.job is None for stage in found.stages] == [False, True, True]
    assert len(runs(log)) == 2
    assert (await stack.fleet.rollouts.abort(made.rollout)).state == "failed"


async def test_status_as_json_has_the_shape_that_scripts_rely_on(stack: Stack, log: Path) -> None:
    made = await stack.fleet.rollouts.create(new(log))
    await until(stack, made.rollout, lambda r: r.hold == "advance")
    token = (stack.data / "admin.token").read_text().strip()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "corral", "rollout", "status", made.rollout, "-o", "json"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "CORRAL_URL": stack.url, "CORRAL_TOKEN": token},
    )
    out, _ = await process.communicate()
    found = json.loads(out)
    assert list(found) == ["rollout", "name", "state", "stage", "stages", "pinned"]
    assert [list(stage) for stage in found["stages"]] == [
        ["index", "nodes", "counts", "gate", "started_at", "ended_at"]
    ] * 3
    assert (found["rollout"], found["name"], found["state"], found["stage"]) == (made.rollout, "web", "paused", 1)
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", found["pinned"])
    first, second, _ = found["stages"]
    assert (first["index"], first["nodes"], first["counts"], first["gate"]) == (
        1,
        ["sim-00001", "sim-00002"],
        {"succeeded": 2},
        "passed",
    )
    assert (second["gate"], second["counts"], second["started_at"]) == ("pending", {}, None)
