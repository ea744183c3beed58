"""F1: kill -9 of the server, at random moments and at every point between two steps, while jobs are submitted all the time.

Expected: nothing acknowledged is lost, nothing runs twice, and the API is back by itself as soon as the process is started again.
"""

from __future__ import annotations

import asyncio
import signal
import statistics

from corral.domain.errors import Unavailable
from corral.testing.chaos.field import Field
from corral.testing.chaos.ground import Fault, Ground, Outcome

POINTS = ("after_commit", "after_publish", "mid_ingest", "after_ingest", "after_ack")


async def run(ground: Ground) -> Outcome:
    kills, nodes = ground.pick(7, 100), ground.pick(20, 50)
    back: list[float] = []
    at: dict[str, int] = {}
    async with ground.field(nodes) as field:
        async with field.load(every=0.2):
            for number in range(kills):
                # every other kill at a failpoint, in turn; the rest whenever it happens
                point = POINTS[number // 2 % len(POINTS)] if number % 2 else "any moment"
                await _restart_armed(field, point)
                where = await _die(field, point)
                at[where] = at.get(where, 0) + 1
                began = ground.clock.monotonic()
                await field.stack.start_server()
                back.append(ground.clock.monotonic() - began)
        judged = await field.judge(quiet_seconds=90)
    figures = {"kills_at": at, "api_back_s": _spread(back), "tasks": judged.counts, "nodes": nodes}
    return Outcome(ran=kills, problems=judged.problems, figures=figures)


async def _restart_armed(field: Field, point: str) -> None:
    """A failpoint is armed by the environment, so the server needs a start of its own for it."""
    if point == "any moment":
        return
    server = field.stack.server
    assert server is not None
    server.kill()
    await server.wait()
    try:
        await field.stack.start_server(env={"CORRAL_FAILPOINT": f"{point}:kill@{field.rng.randrange(1, 5)}"})
    except Unavailable:
        # work that was waiting took it there before it was ready
        if field.stack.server is None or field.stack.server.returncode != -signal.SIGKILL:
            raise


async def _die(field: Field, point: str) -> str:
    server = field.stack.server
    assert server is not None
    patience = field.rng.random() * 1.5 if point == "any moment" else 10.0
    try:
        await asyncio.wait_for(server.wait(), patience)
    except TimeoutError:
        server.kill()
        await server.wait()
        return "any moment"
    return point


def _spread(seconds: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(seconds), 2), "max": round(max(seconds), 2)} if seconds else {}


FAULT = Fault(name="F1", title="server kill -9", asked="100 kills", run=run)
