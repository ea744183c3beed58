"""F18: every node loses its connection at once and comes back at once.

Expected: all are back within 30 s, and nobody was called offline meanwhile: it was the engine that was away, not they.
"""

from __future__ import annotations

import signal
import statistics

from corral.sdk import Node
from corral.testing.chaos.ground import Fault, Ground, Outcome
from corral.testing.chaos.processes import send, until_gone

BACK_SECONDS = 30.0


async def run(ground: Ground) -> Outcome:
    storms, nodes = ground.pick(3, 10), ground.pick(300, 1000)
    back: list[float] = []
    problems: list[str] = []
    async with ground.field(nodes, flags=["--no-exec"]) as field:
        await field.answers(seconds=60)
        for number in range(storms):
            before = {node.id: node for node in await field.fleet.nodes.list()}
            engine = field.stack.engine_pid
            send(engine, signal.SIGKILL)
            await until_gone(engine, ground.clock)
            took = await field.answers(seconds=90)
            back.append(90.0 if took is None else took)
            if took is None or took > BACK_SECONDS:
                problems.append(f"storm {number}: {nodes} nodes are not back within {BACK_SECONDS:g} s: {took}")
            # the presence of a node is decided within three beats: what is false would show by then
            await ground.clock.sleep(ground.pick(2, 12))
            after = await field.fleet.nodes.list()
            flipped = [node.id for node in after if _changed(before[node.id], node)]
            if flipped:
                problems.append(f"storm {number}: {len(flipped)} nodes were called offline: {flipped[:3]}")
        quiet = await field.quiet(seconds=30)
        states = [job.counts for job in await field.fleet.jobs.list()]
    figures = {
        "nodes": nodes,
        "back_s": {"median": round(statistics.median(back), 2), "max": round(max(back), 2)},
        "tasks": sum(sum(counts.values()) for counts in states),
    }
    if quiet is None or any(set(counts) != {"succeeded"} for counts in states):
        problems.append(f"not every task succeeded: {states}")
    return Outcome(ran=storms, problems=problems, figures=figures)


def _changed(before: Node, after: Node) -> bool:
    return after.presence != "online" or after.presence_since != before.presence_since


FAULT = Fault(name="F18", title="every node reconnects at once", asked="10 storms, 1,000-5,000 nodes", run=run)
