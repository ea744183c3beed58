"""F4: the engine is killed, asked to stop, and loses its whole store, while jobs are submitted all the time.

Expected: nothing is lost or run twice, open tasks are pushed again from SQL, the whole path works again in less than ten seconds,
and a node that was revoked stays out although the engine forgot everything it knew.
"""

from __future__ import annotations

import shutil
import signal
import statistics
from typing import Literal

from corral.domain.errors import Unavailable
from corral.testing.chaos.field import Field
from corral.testing.chaos.ground import Fault, Ground, Outcome
from corral.testing.chaos.processes import paused, send, until_gone

BACK_SECONDS = 10.0
How = Literal["kill", "term", "wipe"]


async def run(ground: Ground) -> Outcome:
    rounds, nodes = ground.pick(6, 100), ground.pick(30, 60)
    back: dict[str, list[float]] = {}
    problems: list[str] = []
    async with ground.field(nodes) as field:
        revoked = f"{field.prefix}-00001"
        field.target = f"all and not {revoked}"  # what it is owed stays queued until it expires
        await field.fleet.nodes.revoke(revoked, "a fault run")
        await field.eventually(lambda: _offline(field, revoked), seconds=10)
        async with field.load(every=0.4):
            for number in range(rounds):
                how: How = "wipe" if number % 20 == 2 else "term" if number % 3 == 1 else "kill"
                await ground.clock.sleep(field.rng.random())
                await _end(field, how)
                took = await field.answers(seconds=60)
                back.setdefault(how, []).append(took or 60.0)
                if took is None or took > BACK_SECONDS:
                    problems.append(f"round {number}: not back within {BACK_SECONDS:g} s of a {how}: {took}")
                if (await field.fleet.nodes.get(revoked)).presence == "online":
                    problems.append(f"round {number}: the revoked node is back after a {how}")
        judged = await field.judge(quiet_seconds=90)
    figures = {
        "rounds": {how: len(times) for how, times in back.items()},
        "back_s": {how: [round(statistics.median(t), 2), round(max(t), 2)] for how, t in back.items()},
        "tasks": judged.counts,
        "nodes": nodes,
    }
    return Outcome(ran=rounds, problems=[*problems, *judged.problems], figures=figures)


async def _offline(field: Field, node: str) -> bool:
    return (await field.fleet.nodes.get(node)).presence == "offline"


async def _end(field: Field, how: How) -> None:
    """End the engine that runs now; a wipe happens while nobody can start the next."""
    try:
        engine = field.stack.engine_pid
    except Unavailable:
        return  # the last round's next one is not there yet
    if how != "wipe":
        send(engine, signal.SIGTERM if how == "term" else signal.SIGKILL)
        await until_gone(engine, field.clock)
        return
    assert field.stack.server is not None
    async with paused(field.stack.server.pid):
        send(engine, signal.SIGKILL)
        await until_gone(engine, field.clock)
        for path in (field.stack.data / "engine").iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        field.wiped()


FAULT = Fault(name="F4", title="engine kill -9, TERM, store wiped", asked="100 kills, 5 wipes", run=run)
