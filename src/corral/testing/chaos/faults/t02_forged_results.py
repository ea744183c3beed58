"""T2: a node with a valid credential reports results for tasks of others, for tasks that are over, and for tasks nobody knows.

Expected: not one task changes, every one of them is counted, and other nodes notice nothing.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
from contextlib import closing
from typing import Any, Final

from corral.protocol import subjects
from corral.testing.chaos import measure, strangers
from corral.testing.chaos.field import Field
from corral.testing.chaos.ground import Fault, Ground, Outcome
from corral.testing.raw_node import RawNode

_AT_ONCE: Final = 100
_PER_SECOND: Final = 1500
"""Below what the server calls a flood: a patient liar."""
_STATES: Final = ("succeeded", "failed", "cancelled", "running", "delivered", "timed_out", "lost", "queued", "expired")


async def run(ground: Ground) -> Outcome:
    wanted, nodes = ground.pick(10_000, 10_000), 4
    async with ground.field(nodes) as field:
        for _ in range(3):
            await field.submit(0.1, lines=2)
        await field.quiet(seconds=30)
        rogue_file = await strangers.enrol(field)
        rogue_id = rogue_file.nodes[0].node_id
        rogue = await strangers.connect(field, rogue_file)
        mine = await _own_finished_task(field, rogue, rogue_id)
        running = [job for job in [await field.submit(25, lines=1, on=f"{field.prefix}-*")] if job]
        await ground.clock.sleep(1)
        others = [job for job in field.ledger.acked.values() if job != mine]
        before, counted = _tasks(field), await _counted(field)
        sent = 0
        began = ground.clock.monotonic()
        while sent < wanted:
            batch = [_lie(ground, [*others, *running], mine) for _ in range(_AT_ONCE)]
            answers = await asyncio.gather(*(rogue.send(subjects.up(rogue_id, "report"), lie) for lie in batch))
            sent += sum("error" not in answer for answer in answers)
            await ground.clock.sleep(max(0.0, began + sent / _PER_SECOND - ground.clock.monotonic()))

        async def all_counted() -> bool:
            return await _counted(field) - counted >= sent

        await field.eventually(all_counted, seconds=30)
        after, seen = _tasks(field), await _counted(field) - counted
        latency = await measure.latencies(field, 5, on=f"{field.prefix}-*")
        node = await field.fleet.call("GET", f"/nodes/{rogue_id}")
        await rogue.close()
        for job in running:
            await field.fleet.jobs.cancel(job)
        await field.quiet(seconds=30)
    changed = {key: (row, after.get(key)) for key, row in before.items() if after.get(key) != row}
    problems = []
    if changed or len(after) != len(before):
        problems.append(
            f"{len(changed)} tasks changed, {len(after) - len(before)} appeared: {list(changed.items())[:3]}"
        )
    if seen < sent:
        problems.append(f"{seen:g} of {sent} forged results were counted")
    if node["revoked"]:
        problems.append(f"a slow liar was quarantined: {node['revoked_reason']}")
    return Outcome(
        ran=sent,
        problems=problems,
        figures={"sent": sent, "counted": int(seen), "changed": len(changed), "latency": measure.summary(latency)},
    )


async def _own_finished_task(field: Field, rogue: RawNode, rogue_id: str) -> str:
    """A task of the rogue's own that it really ended: `failed`, once and for all."""
    job = await field.submit(0, lines=1, on=rogue_id)
    assert job is not None
    report = {"v": 1, "job": job, "attempt": 1, "seq": 1, "state": "failed", "exit_code": 3}
    await rogue.send(subjects.up(rogue_id, "report"), json.dumps({**report, "token": secrets.token_hex(16)}).encode())

    async def over() -> bool:
        return not (await field.fleet.jobs.get(job)).open

    if await field.eventually(over, seconds=10) is None:
        raise TimeoutError("the rogue's own report was not taken: this fault would prove nothing")
    return job


def _lie(ground: Ground, jobs: list[str], mine: str) -> bytes:
    rng = ground.rng
    unknown = "J" + "".join(rng.choice("0123456789ABCDEFGHJKMNPQRSTVWXYZ") for _ in range(18))
    body: dict[str, Any] = {
        "v": 1,
        "token": secrets.token_hex(16),
        "job": rng.choice([rng.choice(jobs), rng.choice(jobs), mine, unknown]),
        "attempt": rng.choice([1, 1, 1, 2, 7]),
        "seq": rng.randrange(1, 100),
        "state": rng.choice(_STATES),
        "exit_code": 0,
        "node": "somebody-else",
    }
    return json.dumps(body).encode()


async def _counted(field: Field) -> float:
    found = await measure.figures(field.stack)
    return found.get("corral_jobs_reports_unchanged_total", 0) + found.get("corral_jobs_reports_poison_total", 0)


def _tasks(field: Field) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Every task as SQL has it, besides what a running one of our own may still say."""
    with closing(sqlite3.connect(f"file:{field.stack.data / 'corral.db'}?mode=ro", uri=True)) as db:
        rows = db.execute("select job, node, state, attempt, exit_code, reason, finished_at from tasks").fetchall()
    return {(row[0], row[1]): row[2:] for row in rows}


FAULT = Fault(name="T2", title="forged results", asked="10,000: 0 changes, all counted", run=run)
