"""T18: one node floods the engine with 50,000 messages a second: reports, output, beats, syncs, facts, samples, all of them.

Expected: it is under quarantine in less than 5 s, with the reason shown, and others' jobs take less than twice as long meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from corral.testing.chaos import measure, strangers
from corral.testing.chaos.field import Field
from corral.testing.chaos.flooder import KINDS
from corral.testing.chaos.ground import Fault, Ground, Outcome

PER_SECOND = 50_000
QUARANTINE_SECONDS = 5.0


async def run(ground: Ground) -> Outcome:
    kinds = KINDS if ground.scale == "full" else (*ground.rng.sample(KINDS[:4], 2), "mixed")
    problems: list[str] = []
    figures: dict[str, Any] = {}
    async with ground.field(ground.pick(8, 20)) as field:
        calm = f"{field.prefix}-00001"
        await measure.latencies(field, 5, on=calm)
        usual = await measure.latencies(field, 20, on=calm)
        figures["usual"] = measure.summary(usual)
        file = await strangers.enrol(field, len(kinds))
        for number, kind in enumerate(kinds):
            found = await _flood(field, number, file.nodes[number].node_id, kind, calm)
            figures[kind] = found["figures"]
            limit = measure.allowed(usual, ground)
            p95 = measure.percentile(found["latencies"], 0.95)
            if found["seconds"] is None or found["seconds"] > QUARANTINE_SECONDS:
                problems.append(f"{kind}: quarantined after {found['seconds']} s")
            if "flooding" not in found["reason"]:
                problems.append(f"{kind}: the reason shown is {found['reason']!r}")
            if p95 > limit:
                problems.append(f"{kind}: others' p95 was {1000 * p95:.0f} ms, at most {1000 * limit:.0f} ms is fine")
        judged = await field.judge()
    problems += judged.problems
    return Outcome(ran=len(kinds), problems=problems, figures=figures)


async def _flood(field: Field, index: int, node: str, kind: str, calm: str) -> dict[str, Any]:
    argv = [sys.executable, "-m", "corral.testing.chaos.flooder", str(strangers.path_of(field)), str(index)]
    flooder = await asyncio.create_subprocess_exec(*argv, kind, str(PER_SECOND), "10", stdout=asyncio.subprocess.PIPE)
    latencies: list[float] = []
    while flooder.returncode is None:
        latencies += await measure.latencies(field, 1, on=calm)
        await field.clock.sleep(0.02)
    said = json.loads((await flooder.communicate())[0])
    shown = await field.fleet.call("GET", f"/nodes/{node}")
    return {
        "latencies": latencies,
        "seconds": said["seconds"] if said["cut"] else None,
        "reason": shown["revoked_reason"],
        "figures": {**said, **measure.summary(latencies), "reason": shown["revoked_reason"]},
    }


FAULT = Fault(name="T18", title="one node floods", asked="50k msg/s: quarantined < 5 s", run=run)
