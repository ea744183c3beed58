"""F2: kill -9 of the process that holds the workers, at random moments and at every step of the journal, with tasks running.

Expected: every running task is adopted and ends with its real exit status and its whole output; none runs twice; none is
`interrupted`, because no machine went down.
"""

from __future__ import annotations

import asyncio
import contextlib

from corral.testing.chaos.ground import Fault, Ground, Outcome

POINTS = ("after_received", "after_starting", "after_spawn", "before_done", "after_done")


async def run(ground: Ground) -> Outcome:
    kills, nodes = ground.pick(12, 200), ground.pick(20, 60)
    at: dict[str, int] = {}
    # two slots a node, so that some tasks wait in the journal when their worker dies
    async with ground.field(nodes, flags=["--slots", "2"]) as field:
        hosts = field.stack.hosts
        async with field.load(every=0.5, seconds=1.5, lines=200):
            for number in range(kills):
                which = field.rng.randrange(len(hosts))
                point = POINTS[number // 2 % len(POINTS)] if number % 2 else "any moment"
                if point != "any moment":
                    hosts[which].kill()
                    await hosts[which].wait()
                    armed = {"CORRAL_FAILPOINT": f"{point}:kill@{field.rng.randrange(1, 12)}"}
                    hosts[which] = await field.stack.start_host(which, env=armed)
                died = False
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(hosts[which].wait(), 8.0 if point != "any moment" else field.rng.random())
                    died = True
                if not died:
                    point = "any moment"
                    hosts[which].kill()
                    await hosts[which].wait()
                at[point] = at.get(point, 0) + 1
                hosts[which] = await field.stack.start_host(which)
        judged = await field.judge(quiet_seconds=90)
    problems = list(judged.problems)
    odd = {state: count for state, count in judged.counts.items() if state not in ("succeeded", "executed")}
    if odd:
        problems.append(f"not adopted: {odd}")
    figures = {"kills_at": at, "tasks": judged.counts, "nodes": nodes}
    return Outcome(ran=kills, problems=problems, figures=figures)


FAULT = Fault(name="F2", title="worker kill -9 mid task", asked="200 kills, 3,000 tasks", run=run)
