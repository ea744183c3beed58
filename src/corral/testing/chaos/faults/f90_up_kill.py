"""The demo of `corral up`, with its real processes killed -9 at random: the launcher, the server, the engine, a daemon, a worker.

Expected: whoever is left starts again what died (the next `corral up` after the launcher died), running tasks are adopted, none is
lost and none runs twice.
"""

from __future__ import annotations

import signal

from corral.testing.chaos.ground import Fault, Ground, Outcome
from corral.testing.chaos.processes import send
from corral.testing.chaos.up_field import up_field
from corral.testing.up_demo import UpDemo

WORDS = {
    "server": ("corral server",),
    "engine": ("nats-server", "-c"),
    "daemon": ("agent daemon",),
    "worker": ("agent worker",),
}


async def run(ground: Ground) -> Outcome:
    kills = ground.pick(5, 50)
    whom = ["worker", "engine", "daemon", "server", "up"] * (kills // 5)
    ground.rng.shuffle(whom)
    killed: dict[str, int] = {}
    async with up_field(ground, nodes=3) as (field, demo):
        async with field.load(every=0.5, seconds=2.0, lines=100):
            for name in whom:
                await ground.clock.sleep(0.3 + field.rng.random())
                if name == "up":
                    await demo.end(signal.SIGKILL)
                    await demo.start()
                else:
                    _kill(demo, name, field.rng.random())
                    await ground.clock.sleep(1.5)
                killed[name] = killed.get(name, 0) + 1
        judged = await field.judge(quiet_seconds=120)
        took = await field.answers(seconds=30)
    problems = list(judged.problems)
    if took is None:
        problems.append("the whole path does not work again")
    odd = {state: count for state, count in judged.counts.items() if state not in ("succeeded", "executed")}
    if odd:
        problems.append(f"kills changed outcomes: {odd}")
    figures = {"killed": killed, "tasks": judged.counts, "answers_s": None if took is None else round(took, 2)}
    return Outcome(ran=len(whom), problems=problems, figures=figures)


def _kill(demo: UpDemo, name: str, dice: float) -> None:
    """One of those that are there now; none when it is just being started again."""
    pids = demo.pids(*WORDS[name])
    if pids:
        send(pids[int(dice * len(pids))], signal.SIGKILL)


FAULT = Fault(name="U", title="corral up: any process kill -9", asked="every process", run=run)
