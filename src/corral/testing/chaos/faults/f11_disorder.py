"""F11: messages overtake each other: ends before starts, receipts before what they answer, output in any order, cancels
before their tasks.

Expected: the same final states as without, every byte of output in its place. (All orders of reports are tried at the store by
the model test of tests/contract/sql; this is the whole path.)
"""

from __future__ import annotations

from collections.abc import Sequence

from corral.domain.errors import CorralError
from corral.testing.chaos.ground import Fault, Ground, Outcome
from corral.testing.chaos.twisted import twisted

KINDS = ("task", "cancel", "receipt", "sync", "report")


async def run(ground: Ground) -> Outcome:
    nodes, jobs = ground.pick(20, 60), ground.pick(15, 100)
    cancelled: set[str] = set()

    def twist(down: bool, subject: str) -> Sequence[float]:
        words = subject.split(".")
        if len(words) > 3 and words[0] == "corral" and (words[3] in KINDS or words[3] == "output"):
            return (ground.rng.random() * 0.4,) if ground.rng.random() < 0.5 else (0.0,)
        return (0.0,)

    async with twisted(ground, nodes, twist) as (field, proxy):
        for number in range(jobs):
            job = await field.submit(field.rng.random() * 0.5, lines=300)
            if job is not None and number % 4 == 3:
                try:
                    await field.fleet.jobs.cancel(job)
                    cancelled.add(job)
                except CorralError:
                    pass  # over already
        judged = await field.judge(quiet_seconds=ground.pick(60, 240))
        done = dict(proxy.done)
    problems = list(judged.problems)
    allowed = {"succeeded", "cancelled"}
    wrong = [
        f"{job}/{node} {task.state}"
        for (job, node), task in judged.tasks.items()
        if task.state not in (allowed if job in cancelled else {"succeeded"})
    ]
    if wrong:
        problems.append(f"states that the order of messages made: {wrong[:5]}")
    figures = {"messages": done, "tasks": judged.counts, "nodes": nodes, "cancelled_jobs": len(cancelled)}
    return Outcome(ran=nodes * jobs, problems=problems, figures=figures)


FAULT = Fault(name="F11", title="messages out of order", asked="10,000 tasks", run=run)
