"""T6: a broker that lies: every message towards the nodes is altered, forged, doubled, moved to another subject or withheld.

Expected: not one forged task runs, no forged cancel, policy, state or sync answer changes anything, no forged receipt makes a report
vanish; and when the broker is honest again every real task has run exactly once.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from corral.protocol import subjects
from corral.protocol.signing import seal
from corral.testing.broker_proxy import BrokerProxy, Frame, honest
from corral.testing.chaos.brokered import attacker_of, brokered, evil_runs
from corral.testing.chaos.field import Field
from corral.testing.chaos.forgery import Attacker, OwnKey
from corral.testing.chaos.ground import Fault, Ground, Outcome

_KINDS: Final = ("task", "cancel", "policy", "state", "sync")


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


FAULT = Fault(name="T6", title="broker that rewrites", asked="0 of all forged tasks run", run=run)
