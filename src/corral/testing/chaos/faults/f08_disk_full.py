"""F8: no space left: under the database, under the engine's store, under a node's journal and spool.

Each on a tmpfs of 48 MB in a mount namespace of its own (root only), which ends with the process whatever happens. Expected: the API
answers at once with an error that says so, what runs goes on, nothing is damaged or lost, and all of it goes on by itself once there
is space again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

from corral.domain.errors import CorralError, OutOfSpace, Unavailable
from corral.runtime.clock import Clock, SystemClock
from corral.testing.chaos.field import Field
from corral.testing.chaos.ground import Fault, Ground, Outcome
from corral.testing.real_node import RealNode
from corral.testing.stack import Stack

SIZE: Final = "48m"
PLENTY: Final = "1g"
ANSWER_SECONDS: Final = 5.0
BACK_SECONDS: Final = 45.0
BALLAST: Final = "ballast"

Found = tuple[list[str], dict[str, Any]]


async def run(ground: Ground) -> Outcome:
    reason = impossible()
    if reason:
        return Outcome(ran=0, problems=[], figures={"skipped": reason})
    argv = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        sys.executable,
        "-m",
        "corral.testing.chaos.faults.f08_disk_full",
    ]
    process = await asyncio.create_subprocess_exec(
        *argv,
        str(ground.rng.randrange(2**31)),
        str(ground.pick(1, 10)),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), ground.pick(170, 1700))
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    answer = json.loads(said.decode().splitlines()[-1])
    return Outcome(ran=answer["ran"], problems=answer["problems"], figures=answer["figures"])


def impossible() -> str:
    """Why this machine does not let us mount; empty when it does."""
    if os.geteuid() != 0:
        return "not root: no tmpfs of our own"
    if shutil.which("unshare") is None or shutil.which("mount") is None:
        return "no unshare or mount here"
    probe = os.system("unshare --mount true 2>/dev/null")  # noqa: S605  # a constant
    return "this kernel lets us make no mount namespace" if probe else ""


# -- inside the namespace


async def mount(where: Path, size: str) -> None:
    where.mkdir(parents=True, exist_ok=True)
    where.chmod(0o700)
    process = await asyncio.create_subprocess_exec(
        "mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "corral-chaos", str(where)
    )
    if await process.wait():
        raise OSError(f"cannot mount a tmpfs at {where}")


async def unmount(where: Path) -> None:
    """The namespace would end it too, but the folder below could not be removed before."""
    process = await asyncio.create_subprocess_exec("umount", "--lazy", str(where), stderr=asyncio.subprocess.DEVNULL)
    await process.wait()


def fill(folder: Path) -> None:
    """To the last byte: a little and a little less, until nothing goes."""
    with (folder / BALLAST).open("ab", buffering=0) as file:
        for size in (1 << 20, 64 << 10, 4 << 10, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)


def free(folder: Path) -> None:
    (folder / BALLAST).unlink(missing_ok=True)


@asynccontextmanager
async def field_on(
    rng: random.Random, clock: Clock, folder: Path, mounts: Sequence[tuple[str, str]], *, nodes: int
) -> AsyncGenerator[Field, None]:
    """A stack in `folder` after mounting there (path within it, size)."""
    stack = Stack(folder)
    for name, size in mounts:
        await mount(folder / name, size)
    try:
        await stack.start_server()
        await stack.simulate(nodes, processes=1, prefix="disk")
        yield Field(fleet=lambda: stack.fleet, folder=folder, rng=rng, clock=clock, prefix="disk", stack=stack)
    finally:
        await stack.close()
        for name, _ in reversed(mounts):
            await unmount(folder / name)


async def timed(clock: Clock, call: Awaitable[Any]) -> tuple[float, CorralError | None]:
    began = clock.monotonic()
    error: CorralError | None = None
    try:
        await asyncio.wait_for(call, 4 * ANSWER_SECONDS)
    except CorralError as found:
        error = found
    except TimeoutError:
        error = Unavailable("it hung")
    return clock.monotonic() - began, error


async def database(rng: random.Random, clock: Clock, folder: Path) -> Found:
    """Writes answer 507 or 503 at once, reads go on, the result of what ran comes in afterwards."""
    problems: list[str] = []
    async with field_on(rng, clock, folder, [("server", SIZE), ("server/engine", PLENTY)], nodes=4) as field:
        data = field.stack.data
        await field.submit(0.1, lines=2)
        await field.quiet()
        running = await field.submit(2, lines=2)
        fill(data)
        refused: list[str] = []
        slowest = 0.0
        for _ in range(60):
            took, error = await timed(
                clock, field.fleet.call("POST", "/jobs", {"target": "all", "argv": ["true", "x" * 20000]})
            )
            slowest = max(slowest, took)
            if error is not None:
                refused.append(type(error).__name__)
                if not isinstance(error, OutOfSpace | Unavailable):
                    problems.append(f"a full disk answers with {type(error).__name__}: {error.message}")
                if len(refused) >= 5:
                    break
        read, error = await timed(clock, field.fleet.call("GET", "/jobs"))
        if not refused:
            problems.append("nothing was refused: the disk was not full")
        if slowest > ANSWER_SECONDS or read > ANSWER_SECONDS or error is not None:
            problems.append(f"answers took {slowest:.1f} s to write and {read:.1f} s to read ({error})")
        await clock.sleep(3)
        alive = field.stack.server is not None and field.stack.server.returncode is None
        free(data)
        if not alive:
            problems.append("the server died of a full disk")
            await field.stack.start_server()
        back = await field.answers(seconds=BACK_SECONDS)
        if back is None:
            problems.append(f"not back {BACK_SECONDS:g} s after there was space")
        with closing(sqlite3.connect(f"file:{data / 'corral.db'}?mode=ro", uri=True)) as db:
            verdict = db.execute("pragma integrity_check").fetchone()[0]
        if verdict != "ok":
            problems.append(f"the database is damaged: {verdict}")
        for job in await field.fleet.jobs.list(limit=None, states=["open"]):
            await field.fleet.jobs.cancel(job.job)
        problems += await _judged(field, running)
    return problems, {"refused": sorted(set(refused)), "slowest_s": round(slowest, 2), "back_s": _round(back)}


async def engine(rng: random.Random, clock: Clock, folder: Path) -> Found:
    """Jobs are accepted, reports wait on the nodes, and the engine is started again once there is space."""
    problems: list[str] = []
    async with field_on(rng, clock, folder, [("server/engine", SIZE)], nodes=4) as field:
        store = field.stack.data / "engine"
        await field.submit(0.1, lines=2)
        await field.quiet()
        running = await field.submit(2, lines=200)
        fill(store)
        slowest = 0.0
        for _ in range(5):
            took, error = await timed(clock, field.submit(0.5, lines=400))
            slowest = max(slowest, took)
            if error is not None and not isinstance(error, OutOfSpace | Unavailable):
                problems.append(f"a full store answers with {type(error).__name__}: {error.message}")
        read, error = await timed(clock, field.fleet.call("GET", "/jobs"))
        if slowest > ANSWER_SECONDS or read > ANSWER_SECONDS or error is not None:
            problems.append(f"answers took {slowest:.1f} s to write and {read:.1f} s to read ({error})")
        await clock.sleep(6)
        noticed = "the disk is full" in field.stack.log_tail(100_000)
        if not noticed:
            problems.append("the engine did not notice: nothing was proven")
        free(store)
        if field.stack.server is None or field.stack.server.returncode is not None:
            problems.append(f"the server died of it: {field.stack.log_tail(600)}")
        back = await field.answers(seconds=BACK_SECONDS)
        if back is None:
            problems.append(f"not back {BACK_SECONDS:g} s after there was space")
        problems += await _judged(field, running)
    return problems, {"slowest_s": round(slowest, 2), "noticed": noticed, "back_s": _round(back)}


async def node(rng: random.Random, clock: Clock, folder: Path) -> Found:
    """The running task's result comes once it can be written down; new tasks wait instead of being lost or run twice."""
    problems: list[str] = []
    async with field_on(rng, clock, folder, [("small", SIZE)], nodes=1) as field:
        async with RealNode.enrolled(field.stack, "small", slots=2) as small:
            await field.stack.online(2)
            await field.submit(0.1, lines=2, on="small")
            await field.quiet()
            running = await field.submit(3, lines=20, on="small")
            await clock.sleep(1)
            fill(small.state.root)
            waiting = [await field.submit(0, lines=2, on="small") for _ in range(4)]
            await clock.sleep(4)
            during = [task.state for job in waiting if job for task in (await field.fleet.jobs.get(job)).tasks]
            if any(state in ("lost", "interrupted") for state in during):
                problems.append(f"with a full spool new tasks became {during}")
            free(small.state.root)
            back = await field.answers(seconds=BACK_SECONDS)
            if back is None:
                problems.append(f"not back {BACK_SECONDS:g} s after there was space")
            alive = {role: small.processes[role].returncode for role in ("worker", "daemon")}
            if any(status is not None for status in alive.values()):
                problems.append(f"a process died of a full disk: {alive}")
            problems += await _judged(field, running)
    return problems, {"new_tasks_meanwhile": sorted(set(during)), "back_s": _round(back)}


async def _judged(field: Field, running: str | None) -> list[str]:
    problems = list((await field.judge(quiet_seconds=90, outputs=False)).problems)
    states = {task.state for task in (await field.fleet.jobs.get(running or "")).tasks}
    return problems + ([] if states == {"succeeded"} else [f"what ran when the disk became full ended as {states}"])


def _round(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


PLACES: Final[tuple[Callable[[random.Random, Clock, Path], Awaitable[Found]], ...]] = (database, engine, node)


async def inside(seed: int, rounds: int) -> dict[str, Any]:
    rng = random.Random(seed)  # noqa: S311  # repeatable on purpose
    problems: list[str] = []
    figures: dict[str, Any] = {}
    for number in range(rounds):
        for place in PLACES:
            with tempfile.TemporaryDirectory(prefix="corral-disk-", ignore_cleanup_errors=True) as name:
                wrong, found = await place(rng, SystemClock(), Path(name))
            problems += [f"{place.__name__} {number}: {text}" for text in wrong]
            figures[f"{place.__name__} {number}" if rounds > 1 else place.__name__] = found
    return {"ran": rounds * len(PLACES), "problems": problems, "figures": figures}


FAULT = Fault(name="F8", title="disk full", asked="10 each", run=run)

if __name__ == "__main__":
    print(json.dumps(asyncio.run(inside(int(sys.argv[1]), int(sys.argv[2])))))
