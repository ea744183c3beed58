"""F24 with real processes: kill -9 of server, engine or all workers in the middle of the stages of a file rollout.

Each round ships a template, so that every node has bytes of its own; in every second round one node of the third stage cannot take
it, and the rollout goes back by itself. Expected: it ends as it should without anybody's help, each node was touched once in a
direction, and after a rollback each node has exactly what it had before. The hundred model schedules are a unit test (test_engine.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import statistics
from collections import Counter
from pathlib import Path
from typing import Final

from corral.domain.errors import CorralError, Unavailable
from corral.sdk.rollouts import NewRollout, Rollout
from corral.testing.chaos.field import Field
from corral.testing.chaos.ground import Fault, Ground, Outcome
from corral.testing.chaos.processes import send, until_gone

PARTIES: Final = ("server", "engine", "workers")
NODES: Final = 9
STAGES: Final = "count:2,3,0"
WINDOW_SECONDS: Final = 1.6
ROUND_SECONDS: Final = 90.0


async def run(ground: Ground) -> Outcome:
    rounds = ground.pick(4, 30)
    problems: list[str] = []
    killed: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    took: list[float] = []
    async with ground.field(NODES) as field:
        place = field.stack.folder / "nodes"
        for number in range(rounds):
            party = PARTIES[number % len(PARTIES)]
            began = ground.clock.monotonic()
            # not the first: there is nothing to go back to yet
            fails = number > 0 and number % 2 == 0
            said, state = await _round(ground, field, place, number, party, fails=fails)
            took.append(ground.clock.monotonic() - began)
            killed[party] += 1
            ended[state] += 1
            problems += [f"round {number} ({party}): {text}" for text in said]
        problems += await _touched_once(field)
    figures = {
        "killed": dict(killed),
        "ended": dict(ended),
        "nodes": NODES,
        "stages": STAGES,
        "round_s": [round(statistics.median(took), 1), round(max(took), 1)],
    }
    return Outcome(ran=rounds, problems=problems, figures=figures)


async def _round(
    ground: Ground, field: Field, place: Path, number: int, party: str, *, fails: bool
) -> tuple[list[str], str]:
    before = await asyncio.to_thread(_held, place)
    odd = f"{field.prefix}-{NODES:05d}"
    dest = place / odd / "conf"
    if fails:
        await asyncio.to_thread(_block, dest)
    source = field.stack.folder / "conf"
    source.write_text(f"round {number} of {{{{ node.id }}}}\n" + "#" * ground.rng.randrange(200_000))
    # the engine that died in the last round may not be back yet: people would try again
    await field.eventually(lambda: _uploaded(field, source), seconds=30)
    revision = (await field.fleet.files.history(str(source)))[0]
    made = await field.fleet.rollouts.create(
        NewRollout(
            name="conf",
            target="all",
            strategy=STAGES,
            change={
                "kind": "file",
                "file": {
                    "op": "apply",
                    "source": revision.source_path,
                    "revision": revision.revision,
                    "dest": f"{place}/{{{{ node.id }}}}/conf",
                    "template": True,
                },
            },
            on_failure="rollback",
            auto_advance=True,
            stage_deadline=60,
        )
    )
    await ground.clock.sleep(ground.rng.random() * WINDOW_SECONDS)
    await _kill(ground, field, party)
    over = await _over(ground, field, made.rollout)
    wanted = "rolled_back" if fails else "succeeded"
    state = "nothing" if over is None else over.state
    problems = []
    if over is None or over.state != wanted:
        problems.append(f"ended as {state}, not {wanted}: {'' if over is None else over.reason}")
    after = await asyncio.to_thread(_held, place)
    text = source.read_text()
    for node in sorted(task for stage in made.stages for task in stage.nodes):
        if fails and node == odd:
            continue
        expected = before.get(node) if fails else text.replace("{{ node.id }}", node)
        if after.get(node) != expected:
            problems.append(f"{node} holds {str(after.get(node))[:30]!r}, not {str(expected)[:30]!r}")
    if fails:
        await asyncio.to_thread(_unblock, dest)
    beside = [path.name for path in place.glob("*/.corral-*")]
    return [*problems, *(f"left beside a target: {name}" for name in beside)], state


async def _uploaded(field: Field, source: Path) -> bool:
    await field.fleet.files.upload(source)
    return True


def _held(place: Path) -> dict[str, str]:
    return {path.parent.name: path.read_text() for path in place.glob("*/conf") if path.is_file()}


def _block(dest: Path) -> None:
    """A folder is where the file should go: no node would replace that."""
    dest.unlink(missing_ok=True)
    dest.mkdir(parents=True)


def _unblock(dest: Path) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(dest)


async def _kill(ground: Ground, field: Field, party: str) -> None:
    stack = field.stack
    if party == "server":
        assert stack.server is not None
        stack.server.kill()
        await stack.server.wait()
        await stack.start_server()
    elif party == "engine":
        with contextlib.suppress(Unavailable):
            pid = stack.engine_pid
            send(pid, signal.SIGKILL)
            await until_gone(pid, ground.clock)
    else:
        for number, host in enumerate(stack.hosts):
            host.kill()
            await host.wait()
            stack.hosts[number] = await stack.start_host(number)


async def _over(ground: Ground, field: Field, rollout: str) -> Rollout | None:
    deadline = ground.clock.monotonic() + ROUND_SECONDS
    found: Rollout | None = None
    while ground.clock.monotonic() < deadline:
        with contextlib.suppress(CorralError):
            found = await field.fleet.rollouts.get(rollout)
            if found.over:
                return found
        await ground.clock.sleep(0.1)
    return found


async def _touched_once(field: Field) -> list[str]:
    """Over all rollouts: one task for each node in each direction, and one attempt of it."""
    problems = []
    for rollout in await field.fleet.rollouts.list(limit=None):
        found = await field.fleet.rollouts.get(rollout.rollout)
        for direction, stages in (("forward", found.stages), ("back", found.rollback)):
            nodes: Counter[str] = Counter()
            for stage in stages:
                job = None if stage.job is None else await field.fleet.jobs.get(stage.job)
                for task in () if job is None else job.tasks:
                    nodes[task.node] += task.attempt
            twice = [node for node, times in nodes.items() if times > 1]
            if twice:
                problems.append(f"{found.rollout}: touched twice {direction}: {twice}")
    return problems


FAULT = Fault(name="F24", title="file rollout: kill -9 mid stage", asked="30 rounds", run=run)
