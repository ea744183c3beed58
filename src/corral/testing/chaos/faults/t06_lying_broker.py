"""T6, T1, T14: a broker that lies, a node that attacks another, and everything said before said again.

Expected: not one forged task runs, no forged cancel, policy, state or sync answer changes anything, no forged receipt makes a report
vanish, no replay starts anything; and when the broker is honest again every real task has run exactly once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shlex
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from nats import errors

from corral.protocol import subjects
from corral.protocol.signing import seal
from corral.server.infrastructure.pki.signing import KeyRing
from corral.testing.broker_proxy import BrokerProxy, Frame, honest
from corral.testing.chaos.field import Field
from corral.testing.chaos.forgery import Attacker, OwnKey
from corral.testing.chaos.ground import Fault, Ground, Outcome
from corral.testing.engine import NodeCredential
from corral.testing.raw_node import RawNode
from corral.testing.sim.identities import FleetFile
from corral.testing.stack import Stack

_LATE_SECONDS: Final = 25 * 3600.0
_KINDS: Final = ("task", "cancel", "policy", "state", "sync")


@contextlib.asynccontextmanager
async def brokered(ground: Ground, nodes: int) -> AsyncGenerator[tuple[Field, BrokerProxy], None]:
    """A field whose nodes reach the engine through a proxy that reads and rewrites messages."""
    async with contextlib.AsyncExitStack() as end:
        proxies: list[BrokerProxy] = []

        async def through(stack: Stack) -> str:
            proxies.append(await end.enter_async_context(BrokerProxy("127.0.0.1", stack.engine_port)))
            return f"nats://127.0.0.1:{proxies[0].port}"

        field = await end.enter_async_context(ground.field(nodes, processes=1, through=through))
        yield field, proxies[0]


def evil_log(field: Field) -> Path:
    return field.stack.folder / "forged.log"


def attacker_of(field: Field) -> Attacker:
    return Attacker(field.rng, f"echo ran >> {shlex.quote(str(evil_log(field)))}")


def evil_runs(field: Field) -> int:
    log = evil_log(field)
    return len(log.read_text().splitlines()) if log.exists() else 0


async def run(ground: Ground) -> Outcome:
    jobs, nodes = ground.pick(25, 250), 4
    tricks: Counter[str] = Counter()
    async with brokered(ground, nodes) as (field, proxy):
        attacker = attacker_of(field)

        def lie(frame: Frame) -> Iterable[Frame]:
            """Before, after or instead of a genuine message: a forged one, on its own subject or on another kind's."""
            if frame.down_kind == "receipt":
                tricks["receipt"] += 1
                tokens = [secrets.token_hex(16) for _ in range(8)]
                yield replace(frame, payload=json.dumps({"v": 1, "tokens": tokens}).encode())
                if field.rng.random() < 0.5:
                    yield frame
                return
            if frame.down_kind not in _KINDS or not frame.payload:
                yield frame
                return
            trick, forged = attacker.forge(frame.payload)
            tricks[trick] += 1
            kind = frame.down_kind if field.rng.random() < 0.7 else field.rng.choice(_KINDS)
            parts = frame.subject.split(".")
            yield replace(frame, payload=forged, subject=".".join([*parts[:3], kind]))
            # the genuine bytes where they do not belong: as another kind, and for another node
            yield replace(frame, subject=".".join([*parts[:3], field.rng.choice(_KINDS)]))
            if field.rng.random() < 0.6:
                yield frame

        proxy.rewrite = lie
        for _ in range(jobs):
            await field.submit(field.rng.random() * 0.3, lines=3)
            _forge_everywhere(field, proxy, attacker, tricks)
            await ground.clock.sleep(0.05)
        await ground.clock.sleep(2)
        proxy.rewrite = honest
        proxy.reset()
        judged = await field.judge(quiet_seconds=90)
        ran = evil_runs(field)
    problems = list(judged.problems)
    if ran:
        problems.append(f"{ran} forged tasks ran")
    odd = {state: count for state, count in judged.counts.items() if state not in ("succeeded", "executed")}
    if odd:
        problems.append(f"lies changed outcomes: {odd}")
    if sum(tricks.values()) < jobs * nodes:
        problems.append(f"only {sum(tricks.values())} lies were told")
    figures = {"lies": dict(tricks), "tasks": judged.counts, "forged_runs": ran}
    return Outcome(ran=sum(tricks.values()), problems=problems, figures=figures)


def _forge_everywhere(field: Field, proxy: BrokerProxy, attacker: Attacker, tricks: Counter[str]) -> None:
    """Cancels of everything open, a policy that forbids all, a desired state: in our own hand, for every node."""
    key = OwnKey("k1", attacker.seed)
    genuine = [frame for frame in proxy.seen[-50:] if frame.down_kind == "task"]
    for frame in genuine[-4:]:
        body = json.loads(frame.payload.partition(b"\n")[2])
        node = subjects.node_of(frame.subject)
        common = {"v": 1, "kid": body["kid"], "node": node, "issued": body["issued"], "not_after": body["not_after"]}
        said = {
            "cancel": {**common, "job": body["job"], "attempt": body["attempt"], "grace": 0.0},
            "policy": {**common, "revision": 999, "rules": [{"effect": "deny", "match": "*", "id": "x"}]},
            "state": {**common, "revision": 999, "instances": []},
        }
        for kind, message in said.items():
            data = json.dumps(message).encode()
            tricks[f"forged {kind}"] += proxy.inject(subjects.down(node, kind), seal(key, kind, data))
            tricks[f"unsigned {kind}"] += proxy.inject(subjects.down(node, kind), data)


# -- T1: node A against node B, with all A has and all the engine would do for it


async def run_rogue(ground: Ground) -> Outcome:
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
    credential = NodeCredential(
        node=first.node_id,
        jwt=first.jwt,
        seed=first.seed,
        public=first.public,
        inbox=subjects.node_inbox(first.node_id),
    )
    node = await RawNode.connect(f"nats://127.0.0.1:{field.stack.engine_port}", credential)
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


# -- T14: everything again


async def run_replay(ground: Ground) -> Outcome:
    jobs, times = ground.pick(10, 100), ground.pick(100, 100)
    replayed = 0
    async with brokered(ground, 3) as (field, proxy):
        for number in range(jobs):
            await field.submit(field.rng.random() * 0.2, lines=2)
            if number % 5 == 4:
                job = await field.submit(30, lines=1)
                if job is not None:
                    await ground.clock.sleep(0.3)
                    await field.fleet.jobs.cancel(job)
        await field.quiet(seconds=30)
        captured = [frame for frame in proxy.seen if frame.down_kind and frame.payload]
        before = sorted(field.log.read_text().splitlines())
        states = {key: task.state for key, task in (await field.judge(outputs=False)).tasks.items()}

        async def again(count: int) -> None:
            nonlocal replayed
            for _ in range(count):
                for frame in captured:
                    replayed += proxy.inject(frame.subject, frame.payload)
                await ground.clock.sleep(0.01)

        await again(times)
        # after a restart of the nodes, the journals being all they remember
        await _restart_hosts(field, {})
        await again(times // 4)
        # by a node whose clock is a day and an hour ahead, and one whose clock is a year behind
        for offset in (_LATE_SECONDS, -365 * 86400.0):
            await _restart_hosts(field, {"CORRAL_CLOCK_OFFSET": str(offset)})
            await again(times // 4)
        # and by a server a day and an hour ahead: what nodes remembered of these tasks may be pruned
        await field.stack.stop_server()
        await field.stack.start_server(env={"CORRAL_CLOCK_OFFSET": str(_LATE_SECONDS)})
        await _restart_hosts(field, {})
        await ground.clock.sleep(1)
        await again(times // 4)
        await ground.clock.sleep(1)
        after = sorted(field.log.read_text().splitlines())
        judged = await field.judge(outputs=False)
    problems = list(judged.problems)
    if after != before:
        problems.append(f"replays ran {len(after) - len(before)} commands")
    moved = {key: (was, judged.tasks[key].state) for key, was in states.items() if judged.tasks[key].state != was}
    if moved:
        problems.append(f"replays changed outcomes: {list(moved.items())[:3]}")
    if not captured or replayed < len(captured) * times:
        problems.append(f"only {replayed} replays of {len(captured)} messages")
    return Outcome(
        ran=replayed,
        problems=problems,
        figures={"captured": len(captured), "replayed": replayed, "executed": len(after), "tasks": judged.counts},
    )


async def _restart_hosts(field: Field, env: dict[str, str]) -> None:
    for number, host in enumerate(field.stack.hosts):
        host.kill()
        await host.wait()
        field.stack.hosts[number] = await field.stack.start_host(number, env=env)
    await field.stack.online(3, selector=f"{field.prefix}-* and online")


FAULT = Fault(name="T6", title="broker that rewrites", asked="0 of all forged tasks run", run=run)
ROGUE = Fault(name="T1", title="node against node", asked="0 of 1,000 forged tasks", run=run_rogue)
REPLAY = Fault(name="T14", title="every message again", asked="100 x each, restart, clock", run=run_replay)
