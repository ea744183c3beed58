"""F3: a machine goes down: workers, wrappers and commands die together, and it comes back under another boot id.

Expected: `interrupted` is exactly the set of tasks that had been started and had not ended, as their journals say; what only
waited runs afterwards; nothing runs twice.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from corral.agent.config import StateDir
from corral.agent.worker.adoption import is_wrapper
from corral.agent.worker.invocation import attempt_directory
from corral.agent.worker.wrapper import read_claim, read_status
from corral.domain.task import TaskState
from corral.runtime.clock import Clock
from corral.testing.chaos.field import Field
from corral.testing.chaos.ground import Fault, Ground, Outcome
from corral.testing.chaos.processes import send, speaking_of
from corral.testing.checker import Key
from corral.testing.sim.identities import FleetFile


async def run(ground: Ground) -> Outcome:
    crashes, nodes = ground.pick(5, 50), ground.pick(16, 40)
    started: set[Key] = set()
    async with ground.field(nodes, flags=["--slots", "2"]) as field:
        hosts = field.stack.hosts
        flags: list[tuple[str, ...]] = [() for _ in hosts]
        async with field.load(every=0.4, seconds=2.0):
            for number in range(crashes):
                await ground.clock.sleep(0.5 + field.rng.random())
                which = number % len(hosts)
                hosts[which].kill()
                await hosts[which].wait()
                mine = _nodes(field, which)
                await _kill_tasks(field, mine, ground.clock)
                started |= {key for node in mine for key in _started(field, node)}
                flags[which] = ("--boot-id", f"boot-{number}")
                hosts[which] = await field.stack.start_host(which, flags=flags[which])
        judged = await field.judge(quiet_seconds=90)
    interrupted = {key for key, task in judged.tasks.items() if task.state == TaskState.INTERRUPTED}
    problems = list(judged.problems)
    if interrupted != started:
        problems.append(
            f"interrupted is not what was started: {sorted(interrupted - started)[:3]} too many,"
            f" {sorted(started - interrupted)[:3]} missing"
        )
    wrong = [key for key in interrupted if judged.tasks[key].reason != "reboot"]
    if wrong:
        problems.append(f"interrupted for another reason than the reboot: {wrong[:3]}")
    figures = {"tasks": judged.counts, "started_at_crash": len(started), "nodes": nodes}
    return Outcome(ran=crashes, problems=problems, figures=figures)


def _nodes(field: Field, host: int) -> list[str]:
    """The nodes that live in this process."""
    assert field.stack.fleet_file is not None
    first, step = (int(word) for word in field.stack.host_argv[host][4:6])
    return [node.node_id for node in FleetFile.load(field.stack.fleet_file).nodes[first::step]]


def _spool(field: Field, node: str) -> StateDir:
    assert field.stack.spool is not None
    return StateDir(Path(field.stack.spool) / node)


async def _kill_tasks(field: Field, nodes: list[str], clock: Clock) -> None:
    """kill -9 of every wrapper and command of these nodes, until none is left. Wrappers first: they must not witness it."""
    while True:
        pids = [pid for node in nodes for pid in _wrappers(field, node)]
        for pid in pids:
            send(pid, signal.SIGKILL)
        pids += [pid for node in nodes for pid, _ in _marked(node)]
        for pid in pids:
            send(pid, signal.SIGKILL)
        if not pids:
            return
        await clock.sleep(0.02)


def _marked(node: str) -> list[tuple[int, list[str]]]:
    return list(speaking_of(f"CORRAL_TASK={node}."))


def _wrappers(field: Field, node: str) -> list[int]:
    """Wrappers kept warm carry no mark; their claim says which processes they are."""
    found = []
    spool = _spool(field, node).spool
    for name in os.listdir(spool) if spool.exists() else ():
        claim = read_claim(str(spool / name))
        if claim is not None and claim.pid > 0 and is_wrapper(claim, f"{node}.{name.partition('.g')[0]}"):
            found.append(claim.pid)
    return found


def _started(field: Field, node: str) -> list[Key]:
    """What its journal says was started, without an end on disk."""
    state = _spool(field, node)
    if not state.journal.exists():
        return []
    with closing(sqlite3.connect(state.journal)) as db:
        rows = db.execute("select job, attempt, generation from tasks where state = 'starting'").fetchall()
    return [
        (job, node)
        for job, attempt, generation in rows
        if read_status(attempt_directory(state.spool, job, attempt, generation)) is None
    ]


FAULT = Fault(name="F3", title="machine goes down mid task", asked="50 crashes", run=run)
