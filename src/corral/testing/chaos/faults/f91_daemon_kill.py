"""Kill -9 of the daemon of a real node: the node shows as offline in less than two seconds, and nothing else happens to it.

Expected: its worker goes on with what it runs and takes new work meanwhile; the launcher starts the daemon again and the node is back.
"""

from __future__ import annotations

import signal
import statistics

from corral.testing.chaos.ground import Fault, Ground, Outcome
from corral.testing.chaos.processes import send
from corral.testing.chaos.up_field import up_field

OFFLINE_SECONDS = 2.0


async def run(ground: Ground) -> Outcome:
    kills = ground.pick(2, 20)
    offline: list[float] = []
    back: list[float] = []
    problems: list[str] = []
    async with up_field(ground, nodes=2) as (field, demo):
        for number in range(kills):
            job = await field.submit(3.0, lines=50)
            await ground.clock.sleep(0.5 + field.rng.random())
            daemon = demo.pids("agent daemon", "node-1")
            began = ground.clock.monotonic()
            send(daemon[0], signal.SIGKILL)

            async def is_now(presence: str) -> bool:
                return (await field.fleet.nodes.get("node-1")).presence == presence

            took = await field.eventually(lambda: is_now("offline"), seconds=30, every=0.02)
            offline.append(30.0 if took is None else ground.clock.monotonic() - began)
            if offline[-1] > OFFLINE_SECONDS:
                problems.append(f"kill {number}: offline was seen after {offline[-1]:.2f} s")
            meanwhile = await field.submit(0.1, on="node-1")
            took = await field.eventually(lambda: is_now("online"), seconds=30, every=0.05)
            back.append(30.0 if took is None else took)
            if took is None or job is None or meanwhile is None:
                problems.append(f"kill {number}: not back within 30 s")
        judged = await field.judge()
    odd = {state: count for state, count in judged.counts.items() if state not in ("succeeded", "executed")}
    if odd:
        problems.append(f"a dead daemon changed outcomes: {odd}")
    figures = {"offline_s": _spread(offline), "back_s": _spread(back), "tasks": judged.counts}
    return Outcome(ran=kills, problems=[*problems, *judged.problems], figures=figures)


def _spread(seconds: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(seconds), 2), "max": round(max(seconds), 2)}


FAULT = Fault(name="D", title="daemon kill -9", asked="offline < 2 s", run=run)
