"""F10: every task arrives three times, every report three times, one receipt in five never.

Expected: each attempt runs once, each task ends once, and what was said too often is counted and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from corral.testing.chaos.ground import Fault, Ground, Outcome
from corral.testing.chaos.twisted import twisted

THREE_TIMES = (0.0, 0.0, 0.0)


async def run(ground: Ground) -> Outcome:
    nodes, jobs = ground.pick(25, 100), ground.pick(12, 100)

    def twist(down: bool, subject: str) -> Sequence[float]:
        if down and subject.endswith(".receipt"):
            return () if ground.rng.random() < 0.2 else (0.0,)
        if subject.endswith((".task", ".cancel") if down else ".report"):
            return THREE_TIMES
        return (0.0,)

    async with twisted(ground, nodes, twist) as (field, proxy):
        for _ in range(jobs):
            await field.submit(field.rng.random() * 0.3)
        judged = await field.judge(quiet_seconds=ground.pick(60, 240))
        done = dict(proxy.done)
    problems = list(judged.problems)
    if judged.counts.get("succeeded", 0) != nodes * jobs:
        problems.append(f"not everything succeeded: {judged.counts}")
    figures = {"messages": done, "tasks": judged.counts, "nodes": nodes}
    return Outcome(ran=nodes * jobs, problems=problems, figures=figures)


FAULT = Fault(name="F10", title="everything delivered three times", asked="10,000 tasks", run=run)
