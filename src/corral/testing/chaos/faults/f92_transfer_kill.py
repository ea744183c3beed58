"""Kill -9 of each party while a file is on its way from a person's disk to a real node: client, server, engine, worker, daemon.

Expected: at every moment the target holds one whole file, the old or the new one; the same command, given again where it was the client
that died, ends well; the bytes are then those of the source; nothing is left beside the target, in the upload folder or open in SQL.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import statistics
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

from corral.domain.errors import CorralError, Unavailable
from corral.runtime.lifecycle import TaskSet
from corral.testing.chaos.ground import Fault, Ground, Outcome
from corral.testing.chaos.processes import send, until_gone
from corral.testing.real_node import RealNode
from corral.testing.stack import Stack

PARTIES: Final = ("client", "server", "engine", "worker", "daemon")
SIZE_BYTES: Final = 24 << 20
BYTES_A_SECOND: Final = 24 << 20
"""A second on its way down, so that deaths meet it there."""
WINDOW_SECONDS: Final = 2.8
"""From the start of the client to well behind its end: deaths fall before, in and after upload, submission and transfer."""
OVERTAKEN: Final = "it was changed by somebody else meanwhile; nothing was done"
ROUND_SECONDS: Final = 90.0


class _Target:
    """The file on the node, looked at all the time: what it held, by digest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.whole: set[str] = set()
        self.torn: list[str] = []

    async def watch(self, ground: Ground) -> None:
        while True:
            digest = await asyncio.to_thread(self.digest)
            if digest and digest not in self.whole:
                self.torn.append(digest)
            await ground.clock.sleep(0.05)

    def digest(self) -> str:
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
        return ""


async def run(ground: Ground) -> Outcome:
    rounds = ground.pick(len(PARTIES), 30)
    problems: list[str] = []
    killed: Counter[str] = Counter()
    took: list[float] = []
    overtaken = 0
    with ground.folder() as folder:
        stack = Stack(folder)
        try:
            await stack.start_server()
            async with RealNode.enrolled(stack, "n1") as node:
                await stack.online(1)
                (folder / "disk").mkdir()
                target = _Target(folder / "disk" / "file")
                tasks = TaskSet("transfer")
                tasks.start(target.watch(ground), name="watch")
                try:
                    for number in range(rounds):
                        party = PARTIES[number % len(PARTIES)]
                        began = ground.clock.monotonic()
                        said = await _round(ground, stack, node, target, party)
                        took.append(ground.clock.monotonic() - began)
                        killed[party] += 1
                        problems += [f"round {number} ({party}): {text}" for text in said]
                finally:
                    await tasks.close()
                problems += [f"the target was torn: {digest[:12]}" for digest in target.torn]
                found, overtaken = await _settled(ground, stack)
                problems += found
                if overtaken > killed["client"]:
                    problems.append(f"{overtaken} tasks met another one, but only {killed['client']} clients died")
        finally:
            await stack.close()
    figures = {
        "killed": dict(killed),
        "overtaken": overtaken,
        "megabytes_each": SIZE_BYTES / 1e6,
        "round_s": [round(statistics.median(took), 1), round(max(took), 1)],
    }
    return Outcome(ran=rounds, problems=problems, figures=figures)


async def _round(ground: Ground, stack: Stack, node: RealNode, target: _Target, party: str) -> list[str]:
    source = stack.folder / "source"
    data = ground.rng.randbytes(SIZE_BYTES - ground.rng.randrange(1 << 20))
    await asyncio.to_thread(source.write_bytes, data)
    wanted = hashlib.sha256(data).hexdigest()
    target.whole.add(wanted)
    client = await _apply(stack, source, target.path)
    await ground.clock.sleep(ground.rng.random() * WINDOW_SECONDS)
    await _kill(ground, stack, node, client, party)
    deadline = ground.clock.monotonic() + ROUND_SECONDS
    status = await _end(client, ROUND_SECONDS)
    while status != 0 and ground.clock.monotonic() < deadline:
        # what a person does: the same line again
        client = await _apply(stack, source, target.path)
        status = await _end(client, max(1.0, deadline - ground.clock.monotonic()))
    problems = [] if status == 0 else [f"the client ended with {status}"]
    if await asyncio.to_thread(target.digest) != wanted:
        problems.append("the target is not the source")
    beside = sorted(path.name for path in target.path.parent.iterdir() if path != target.path)
    return [*problems, *(f"left beside the target: {name}" for name in beside)]


async def _apply(stack: Stack, source: Path, dest: Path) -> asyncio.subprocess.Process:
    token = (stack.data / "admin.token").read_text().strip()
    words = ("file", "apply", "--src", str(source), "--dest", str(dest), "-t", "n1", "--wait", "--no-backup", "-y")
    with (stack.folder / "client.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "corral",
            *words,
            "--bandwidth",
            str(BYTES_A_SECOND),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "CORRAL_URL": stack.url, "CORRAL_TOKEN": token},
        )


async def _end(client: asyncio.subprocess.Process, seconds: float) -> int:
    """Its exit status; -9 too when it had to be ended."""
    try:
        return await asyncio.wait_for(client.wait(), seconds)
    except TimeoutError:
        client.kill()
        return await client.wait()


async def _kill(ground: Ground, stack: Stack, node: RealNode, client: asyncio.subprocess.Process, party: str) -> None:
    """End one party and, where a service manager would, start it again."""
    if party == "client":
        if client.returncode is None:
            client.kill()
        return
    if party == "engine":
        with contextlib.suppress(Unavailable):
            pid = stack.engine_pid
            send(pid, signal.SIGKILL)
            await until_gone(pid, ground.clock)
        return
    if party == "server":
        assert stack.server is not None
        stack.server.kill()
        await stack.server.wait()
        await stack.start_server()
        return
    await node.kill(party)
    await ground.clock.sleep(ground.rng.random() * 0.3)
    await node.start(party)


async def _settled(ground: Ground, stack: Stack) -> tuple[list[str], int]:
    """Nothing is open in SQL, and no bytes of an upload are left that was finished; and how many tasks stood back.

    A client that is killed leaves its job behind, and the same line again makes a second one for the same target: whichever finds
    that the file changed under it stands back and says so.
    """
    open_: list[Any] = ["unknown"]
    deadline = ground.clock.monotonic() + 60
    while open_ and ground.clock.monotonic() < deadline:
        with contextlib.suppress(CorralError):
            open_ = list(await stack.fleet.jobs.list(limit=None, states=["open"]))
        await ground.clock.sleep(0.2)
    problems = [f"still open: {len(open_)} jobs"] if open_ else []
    bad: Counter[str] = Counter()
    overtaken = 0
    for job in await stack.fleet.jobs.list(limit=None):
        found = await stack.fleet.jobs.get(job.job)
        for task in found.tasks:
            if not task.succeeded and OVERTAKEN in (task.detail or ""):
                overtaken += 1
            elif not task.succeeded:
                bad[f"{task.state}: {task.detail}"] += 1
    if bad:
        problems.append(f"tasks did not survive: {dict(bad)}")
    left = sorted(path.name for path in (stack.data / "uploads").iterdir())
    return [*problems, *([f"uploads left: {left}"] if left else [])], overtaken


FAULT = Fault(name="X", title="file transfer: any party kill -9", asked="30 rounds", run=run)
