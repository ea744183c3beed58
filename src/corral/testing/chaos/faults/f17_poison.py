"""F17: messages nobody can understand, on every subject, up and down: noise, wrong schemas, a future version, a mebibyte of junk.

Expected: nothing crashes and nothing loops, each is refused once and counted, dead letters stay at 100 an hour for each node, and good
traffic takes less than twice as long.
"""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final

from nats import errors

from corral.protocol import subjects
from corral.runtime.lifecycle import TaskSet
from corral.testing.chaos import measure, strangers
from corral.testing.chaos.brokered import brokered
from corral.testing.chaos.field import Field
from corral.testing.chaos.ground import Fault, Ground, Outcome
from corral.testing.raw_node import RawNode
from corral.testing.sim.identities import FleetFile

ROGUES: Final = 12
PER_SECOND: Final = 2000
"""Of all of them together; each stays below what counts as a flood."""
LETTERS_MAX: Final = 100
_RARE: Final = ("beat", "facts", "metrics", "sync")
_RARE_EACH_SECOND: Final = 5


def poison(rng: random.Random, kind: str) -> bytes:
    """Something that is no message of this kind, though often nearly one."""
    good: dict[str, dict[str, Any]] = {
        "report": {
            "v": 1,
            "token": "0" * 32,
            "job": "J000000000000000000",
            "attempt": 1,
            "seq": 1,
            "state": "running",
            "detail": "d",
            "exit_code": 1,
            "delivered_at": 1.0,
            "started_at": 1.0,
            "finished_at": 1.0,
            "stdout_bytes": 1,
            "cancel": {"a": 1},
            "result": {"a": 1},
            "truncated": True,
        },
        "sync": {
            "v": 1,
            "nonce": "00",
            "journal": "j",
            "boot_id": "b",
            "open": [["J000000000000000000", 1]],
            "versions": [1],
        },
        "beat": {
            "v": 1,
            "sent": 1.0,
            "boot_id": "b",
            "digest": "00",
            "worker": "up",
            "running": 1,
            "factor": 1.0,
            "version": "1",
        },
        "facts": {"v": 1, "facts": {"a": 1}},
        "metrics": {"v": 1, "at": 1.0, "values": {"a": 1.0}},
    }
    choice = rng.randrange(9)
    if choice == 0:
        return rng.randbytes(rng.randrange(200))
    if choice == 1:
        return b"[" * rng.randrange(1, 5000)
    if choice == 2:
        return json.dumps({**good[kind], "v": 99}).encode()
    if choice == 3:
        return json.dumps({**good[kind], "must": ["something-new"]}).encode()
    if choice == 4:
        field = rng.choice(list(good[kind]))
        odd: list[Any] = [
            None,
            [],
            {"a": []},
            "\0\ud800",
            1e400,
            -(2**80),
            1e300,
            float("nan"),
            True,
            {"\ud800": "\0", "b": 1e400},
        ]
        odd += [{"big": 2**80}, {"deep": json.loads("[" * 900 + "]" * 900)}, {"\0": "\0"}, {"": {"": ""}}]
        return json.dumps({**good[kind], field: rng.choice(odd)}).encode()
    if choice == 5:
        return json.dumps({**good[kind], "x" * 3000: "y" * 3000}).encode()[: rng.randrange(50, 6000)]
    if choice == 6:
        return b'{"v":1,"v":2,"token":"' + b"\xff\xfe\x00" * 10 + b'"}'
    if choice == 7:
        return json.dumps([good[kind]] * 3).encode()
    return b""


def twisted_output(rng: random.Random) -> tuple[bytes, dict[str, str]]:
    headers = {
        "Corral-Stream": rng.choice(["stdout", "stderr", "stdin", "", "x" * 500]),
        "Corral-Offset": rng.choice(["0", "-5", "9" * 40, "NaN", "", "1e9", str(2**63)]),
        "Corral-Skipped": rng.choice(["0", "-1", "9" * 30, "many"]),
    }
    return rng.randbytes(rng.randrange(300)), {name: value for name, value in headers.items() if rng.random() < 0.8}


async def run(ground: Ground) -> Outcome:
    up, down = ground.pick(20_000, 100_000), ground.pick(4_000, 20_000)
    sent: Counter[str] = Counter()
    tasks = TaskSet("poison")
    async with brokered(ground, 6) as (field, proxy):
        server = field.stack.server
        assert server is not None
        good = f"{field.prefix}-00001"
        await measure.latencies(field, 5, on=good)
        usual = await measure.latencies(field, 20, on=good)
        file = await strangers.enrol(field, ROGUES)
        job = await field.submit(0, lines=1, on="rogue-*")
        nodes = [await strangers.connect(field, file, index) for index in range(ROGUES)]
        poisoning = [
            tasks.start(_poison_up(ground, node, file, index, up // ROGUES, job or "", sent), name="up")
            for index, node in enumerate(nodes)
        ]

        async def poison_down() -> None:
            names = [f"{field.prefix}-{number:05d}" for number in range(1, 7)]
            for _ in range(down):
                kind = ground.rng.choice((*subjects.DOWN_KINDS, "nonsense"))
                size = 1 << 20 if ground.rng.random() < 0.002 else 0
                junk = ground.rng.randbytes(size) if size else poison(ground.rng, "report")
                sent["down"] += proxy.inject(subjects.down(ground.rng.choice(names), kind), junk)
                if sent["down"] % 20 == 0:
                    await ground.clock.sleep(0.02)

        poisoning.append(tasks.start(poison_down(), name="down"))
        during: list[float] = []
        while not all(task.done() for task in poisoning):
            during += await measure.latencies(field, 1, on=good)
            await ground.clock.sleep(0.02)
        for task in poisoning:
            task.result()
        read = await _read_poisoned_output(field, job or "")
        figures = await measure.figures(field.stack)
        letters = _letters(field)
        revoked = [node["id"] for node in await field.fleet.call("GET", "/nodes?limit=100") if node["revoked"]]
        for node in nodes:
            await node.close()
        if job is not None:
            await field.fleet.jobs.cancel(job)
            await field.fleet.call("POST", "/sim/nodes/remove", {"prefix": "rogue"})
        alive = server.returncode is None and all(host.returncode is None for host in field.stack.hosts)
        judged = await field.judge()
    await tasks.close()
    problems = [problem for problem in judged.problems if not problem.startswith("BROKEN: ")]
    problems += _broken_good_tasks(judged.tasks, field.prefix)
    if not alive:
        problems.append("a process died of it")
    if revoked:
        problems.append(f"quarantined although no flood: {revoked[:3]}")
    if max(letters.values(), default=0) > LETTERS_MAX:
        problems.append(f"dead letters are not bounded: {letters}")
    if not letters:
        problems.append("no dead letter at all: nothing was poison")
    limit = measure.allowed(usual, ground)
    if measure.percentile(during, 0.95) > limit:
        problems.append(
            f"good traffic took {1000 * measure.percentile(during, 0.95):.0f} ms, {1000 * limit:.0f} is fine"
        )
    return Outcome(
        ran=sum(sent.values()),
        problems=problems,
        figures={
            "sent": dict(sent),
            "usual": measure.summary(usual),
            "during": measure.summary(during),
            "poison_counted": figures.get("corral_jobs_reports_poison_total"),
            "letters": sum(letters.values()),
            "read_back": read,
        },
    )


async def _poison_up(
    ground: Ground, node: RawNode, file: FleetFile, index: int, count: int, job: str, sent: Counter[str]
) -> None:
    rng = random.Random(ground.rng.randrange(2**31))  # noqa: S311  # repeatable on purpose
    name = file.nodes[index].node_id
    began, rare = ground.clock.monotonic(), 0
    for number in range(count):
        passed = ground.clock.monotonic() - began
        if rare < passed * _RARE_EACH_SECOND:
            rare += 1
            kind = rng.choice(_RARE)
            subject, data, headers = subjects.up(name, kind), poison(rng, kind), None
        elif number % 4 == 0:
            kind, subject = "output", subjects.output(name, job, rng.choice([1, 1, 2**40]))
            data, headers = twisted_output(rng)
        else:
            kind, subject, headers = "report", subjects.up(name, "report"), None
            data = rng.randbytes(1 << 20) if rng.random() < 0.0005 else poison(rng, "report")
        try:
            await node.publish(subject, data, headers=headers)
        except errors.Error:
            continue
        sent[kind] += 1
        ahead = (number + 1) * ROGUES / PER_SECOND - passed
        if ahead > 0.02:
            await ground.clock.sleep(ahead)
    try:
        await node.flush()
    except (TimeoutError, errors.Error):
        return


async def _read_poisoned_output(field: Field, job: str) -> Mapping[str, int]:
    """The API shows what it can of it, and is well."""
    answers: Counter[str] = Counter()
    await field.fleet.call(
        "POST", "/nodes/resolve", {"selector": 'rogue-* and not facts["a"] > 1 and not has facts["b"]'}
    )
    nodes = [f"/nodes/rogue-{number:05d}{part}" for number in range(1, ROGUES + 1) for part in ("", "/metrics")]
    for path in (
        f"/jobs/{job}?with_output=true",
        f"/jobs/{job}",
        "/nodes?limit=100",
        "/dead-letters?limit=1000",
        *nodes,
    ):
        await field.fleet.call("GET", path)
        answers["read"] += 1
    for stream in ("stdout", "stderr"):
        async for piece in field.fleet.jobs.raw_output(job, "rogue-00001", stream):
            answers[f"{stream}_bytes"] += len(piece)
    return answers


def _letters(field: Field) -> dict[str, int]:
    with closing(sqlite3.connect(f"file:{field.stack.data / 'corral.db'}?mode=ro", uri=True)) as db:
        return dict(db.execute("select node, count(*) from dead_letters group by node").fetchall())


def _broken_good_tasks(tasks: Mapping[tuple[str, str], Any], prefix: str) -> list[str]:
    odd = {key: task.state for key, task in tasks.items() if key[1].startswith(prefix) and task.state != "succeeded"}
    return [f"good tasks were harmed: {list(odd.items())[:3]}"] if odd else []


FAULT = Fault(name="F17", title="poison on all subjects", asked="100,000 messages", run=run)
