"""T1: node A attacks node B with all that A holds, and with everything the engine would do for it and more.

Expected: B runs none of the forged tasks; the engine denies A every subject of B. A control shows that the test can fail: the same
bytes signed with the server's own key do run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json

from nats import errors

from corral.protocol import subjects
from corral.protocol.signing import seal
from corral.server.infrastructure.pki.signing import KeyRing
from corral.testing.chaos import strangers
from corral.testing.chaos.brokered import attacker_of, brokered, evil_runs
from corral.testing.chaos.field import Field
from corral.testing.chaos.forgery import Attacker
from corral.testing.chaos.ground import Fault, Ground, Outcome
from corral.testing.sim.identities import FleetFile


async def run(ground: Ground) -> Outcome:
    wanted = ground.pick(1000, 1000)
    async with brokered(ground, 2) as (field, proxy):
        attacker = attacker_of(field)
        assert field.stack.fleet_file is not None
        file = FleetFile.load(field.stack.fleet_file)
        a, b = (identity.node_id for identity in file.nodes)
        for _ in range(5):
            await field.submit(0, on=a, lines=1)
        await field.quiet(seconds=20)
        # what A legitimately holds: signed tasks for A, sync answers to A
        own = [frame.payload for frame in proxy.seen if subjects.node_of(frame.subject) == a and frame.down_kind]
        signed = [payload for payload in own if payload.count(b"\n") == 1]
        tasks = [payload for payload in signed if b'"spec"' in payload]
        told = 0
        for number in range(wanted):
            payload = ground.rng.choice(signed) if number % 5 == 0 else attacker.forge(ground.rng.choice(tasks))[1]
            body = payload if number % 3 else payload.replace(a.encode(), b.encode())
            told += proxy.inject(subjects.down(b, ground.rng.choice(("task", "task", "sync", "cancel"))), body)
        helped = await _through_the_engine(field, file, b, attacker, tasks)
        marker = await field.submit(0, lines=1)
        judged = await field.judge(quiet_seconds=60)
        # the control: the same trick with the server's own key does run, so the zero above means something
        ring = KeyRing.load(field.stack.data / "keys" / "signing.json")
        now = ground.clock.wall()
        stolen = attacker.body(
            ground.rng.choice(tasks), job=attacker.job(), node=b, kid=ring.key_id, issued=now, not_after=now + 60
        )
        ran_before = evil_runs(field)
        proxy.inject(subjects.down(b, "task"), seal(ring, "task", json.dumps(stolen).encode()))

        async def control() -> bool:
            return evil_runs(field) == ran_before + 1

        control_ran = await field.eventually(control, seconds=10)
        executed_b = [key for key in field.log.read_text().splitlines() if key.startswith(f"{b}.")]
    problems = list(judged.problems)
    if ran_before:
        problems.append(f"{ran_before} forged tasks ran")
    if control_ran is None:
        problems.append("a task signed with the server's own key did not run: this test cannot fail")
    if len(executed_b) != 1:
        problems.append(f"node B ran {len(executed_b)} commands, 1 was meant for it ({marker})")
    if told < wanted:
        problems.append(f"only {told} of {wanted} forged messages reached node B")
    return Outcome(
        ran=told, problems=problems, figures={"told": told, "through_engine": helped, "forged_runs": ran_before}
    )


async def _through_the_engine(
    field: Field, file: FleetFile, victim: str, attacker: Attacker, tasks: list[bytes]
) -> dict[str, int]:
    """As A at the engine: publish to B directly, and name B's subjects as the reply of what A may ask."""
    first = file.nodes[0]
    node = await strangers.connect(field, file)
    denied = 0
    try:
        for kind in subjects.DOWN_KINDS:
            forged = attacker.forge(attacker.rng.choice(tasks))[1]
            denied += await node.is_denied(node.publish(subjects.down(victim, kind), forged))
        for kind in ("report", "sync", "facts", "metrics", "beat"):
            for reply in ("task", "sync", "cancel"):
                with contextlib.suppress(errors.Error):
                    await node.publish(
                        subjects.up(first.node_id, kind), attacker.rng.choice(tasks), reply=subjects.down(victim, reply)
                    )
        with contextlib.suppress(errors.Error, asyncio.TimeoutError):
            await node.flush()
    finally:
        await node.close()
    return {"denied": denied, "of": len(subjects.DOWN_KINDS)}


FAULT = Fault(name="T1", title="node against node", asked="0 of 1,000 forged tasks", run=run)
