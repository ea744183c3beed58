"""F7: SIGSTOP for a while and then SIGCONT: of the server, of the engine, of a machine full of workers.

Expected: a process that was away goes on where it was; what arrives late is accepted once; nobody calls a task lost meanwhile.
"""

from __future__ import annotations

from corral.testing.chaos.field import Field
from corral.testing.chaos.ground import Fault, Ground, Outcome
from corral.testing.chaos.processes import paused


async def run(ground: Ground) -> Outcome:
    episodes, nodes, longest = ground.pick(6, 50), ground.pick(20, 60), ground.pick(4, 15)
    seconds: dict[str, float] = {}
    async with ground.field(nodes) as field:
        async with field.load(every=0.4, seconds=1.0):
            for number in range(episodes):
                whom = ("server", "engine", "workers")[number % 3]
                length = 1.0 + field.rng.random() * longest
                await ground.clock.sleep(field.rng.random())
                async with paused(_pid(field, whom)):
                    await ground.clock.sleep(length)
                seconds[whom] = round(seconds.get(whom, 0.0) + length, 1)
        took = await field.answers(seconds=60)
        judged = await field.judge(quiet_seconds=90)
    problems = list(judged.problems)
    if took is None:
        problems.append("the whole path does not work again within 60 s of the last pause")
    odd = {state: count for state, count in judged.counts.items() if state not in ("succeeded", "executed")}
    if odd:
        problems.append(f"a pause changed outcomes: {odd}")
    figures = {"paused_s": seconds, "works_again_s": None if took is None else round(took, 2), "tasks": judged.counts}
    return Outcome(ran=episodes, problems=problems, figures={**figures, "nodes": nodes})


def _pid(field: Field, whom: str) -> int:
    if whom == "engine":
        return field.stack.engine_pid
    process = field.stack.server if whom == "server" else field.rng.choice(field.stack.hosts)
    assert process is not None
    return process.pid


FAULT = Fault(name="F7", title="SIGSTOP, later SIGCONT", asked="50 pauses", run=run)
