"""A fleet under load, with a ledger of everything that was attempted and acknowledged, and the judgement at the end.

Every command appends its $CORRAL_TASK to one log opened with O_APPEND, so the log is the only witness of what really ran; its
output can be foretold from the same word, so output that got lost, doubled or mixed up is seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import shlex
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from corral.domain.errors import Conflict, CorralError, Unavailable
from corral.domain.task import TaskState
from corral.runtime.clock import Clock
from corral.runtime.lifecycle import TaskSet
from corral.sdk import Fleet, Job, Submission, Task
from corral.testing.checker import History, Key, check, parse_log
from corral.testing.stack import Stack

OPEN_MAX: Final = 8
_RECORD_SECONDS: Final = 15.0
"""More than the longest pause between two tries to write the record."""
_YOUNG_ENTRIES: Final = 10


@dataclass(frozen=True)
class Work:
    """What one submission asked for: how long each command takes and how many lines it prints."""

    seconds: float
    lines: int

    def command(self, log: Path) -> str:
        return (
            f"printf '%s\\n' \"$CORRAL_TASK\" >>{shlex.quote(str(log))}; i=0; "
            f'while [ $i -lt {self.lines} ]; do echo "$CORRAL_TASK $i"; i=$((i+1)); done; sleep {self.seconds:g}; echo end'
        )

    def output(self, mark: str) -> bytes:
        return b"".join(b"%s %d\n" % (mark.encode(), i) for i in range(self.lines)) + b"end\n"


@dataclass
class Ledger:
    """Submissions by name: those begun, and of these the ones whose answer arrived (name → job)."""

    attempted: dict[str, Work] = field(default_factory=dict)
    acked: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    problems: tuple[str, ...]
    counts: dict[str, int]
    tasks: dict[Key, Task]


class Field:
    def __init__(
        self,
        *,
        fleet: Callable[[], Fleet],
        folder: Path,
        rng: random.Random,
        clock: Clock,
        prefix: str,
        stack: Stack | None = None,
    ) -> None:
        self._stack = stack
        self.rng = rng
        self.clock = clock
        self.prefix = prefix
        self.log = folder / "executed.log"
        self.ledger = Ledger()
        self.target = "all"
        self._wiped = 0
        self._fleet = fleet

    @property
    def stack(self) -> Stack:
        """The processes of a field of simulated nodes."""
        assert self._stack is not None, "this field was laid out otherwise"
        return self._stack

    @property
    def fleet(self) -> Fleet:
        return self._fleet()

    # --- load ---------------------------------------------------------------------------------------------------------

    async def submit(
        self, seconds: float = 0.2, *, lines: int = 20, on: str | None = None, **limits: Any
    ) -> str | None:
        """One job; its id, or None when no answer came (it may have been accepted all the same)."""
        name = f"w{len(self.ledger.attempted)}"
        work = self.ledger.attempted[name] = Work(seconds, lines)
        try:
            what = Submission(target=on or self.target, shell=work.command(self.log), name=name, **limits)
            handle = await self.fleet.jobs.submit(what)
        except (Unavailable, Conflict):
            return None
        self.ledger.acked[name] = handle.id
        self.ledger.nodes[handle.id] = tuple(task.node for task in handle.job.tasks)
        return handle.id

    @contextlib.asynccontextmanager
    async def load(self, *, every: float = 0.5, seconds: float = 0.3, lines: int = 20) -> AsyncGenerator[None, None]:
        """Submit jobs to everybody all the time, each command up to `seconds` long, until the block ends.

        No more than OPEN_MAX at once: a fault is to be tried under load, not under a backlog that only grows.
        """
        tasks = TaskSet("load")
        over = asyncio.Event()

        async def go() -> None:
            while not over.is_set():
                await self.eventually(lambda: self._room(over), seconds=60, every=0.05)
                await self.submit(self.rng.random() * seconds, lines=self.rng.randrange(lines))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), every * (0.5 + self.rng.random()))

        worker = tasks.start(go(), name="load")
        try:
            yield
        finally:
            over.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(worker, 30)
            await tasks.close()

    async def _room(self, over: asyncio.Event) -> bool:
        try:
            return over.is_set() or len(await self.fleet.jobs.list(limit=OPEN_MAX, states=["open"])) < OPEN_MAX
        except CorralError:
            return True  # nobody there: people go on trying to submit, and so do we

    def wiped(self) -> None:
        """Output sent so far was in the engine alone and is gone with its store: nobody promised otherwise."""
        self._wiped = len(self.ledger.attempted)

    # --- waiting ------------------------------------------------------------------------------------------------------

    async def eventually(
        self, done: Callable[[], Awaitable[bool]], *, seconds: float, every: float = 0.1
    ) -> float | None:
        """How long it took until `done`; None when it was not within `seconds`. No server counts as not yet."""
        began = self.clock.monotonic()
        while self.clock.monotonic() - began < seconds:
            with contextlib.suppress(CorralError):
                if await done():
                    return self.clock.monotonic() - began
            await self.clock.sleep(every)
        return None

    async def quiet(self, *, seconds: float = 60.0) -> float | None:
        """Wait until no job is open any more; how long it took."""

        async def settled() -> bool:
            return not await self.fleet.jobs.list(limit=1, states=["open"])

        return await self.eventually(settled, seconds=seconds)

    async def answers(self, *, seconds: float = 60.0) -> float | None:
        """Wait until a job on every node has ended well, from now: the whole path works again; how long it took."""
        began = self.clock.monotonic()
        job: str | None = None
        while job is None and self.clock.monotonic() - began < seconds:
            job = await self.submit(0, lines=1)
        if job is None:
            return None
        over = job

        async def succeeded() -> bool:
            return not (await self.fleet.jobs.get(over)).open

        took = await self.eventually(succeeded, seconds=seconds, every=0.05)
        return None if took is None else self.clock.monotonic() - began

    # --- judgement ----------------------------------------------------------------------------------------------------

    async def judge(self, *, quiet_seconds: float = 60.0, outputs: bool = True) -> Judgement:
        """Wait for quiescence, then compare ledger, execution log, SQL and output."""
        took = await self.quiet(seconds=quiet_seconds)
        problems = [] if took is not None else [f"not quiet within {quiet_seconds:g} s"]
        jobs = [
            await self.fleet.jobs.get(job.job, with_output=outputs) for job in await self.fleet.jobs.list(limit=None)
        ]
        tasks = {(job.job, task.node): task for job in jobs for task in job.tasks}
        names = {job.job: job.name for job in jobs}
        acked = frozenset((job, node) for job in self.ledger.acked.values() for node in self._nodes_of(job, tasks))
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        verdict = check(
            History(
                attempted=frozenset(tasks) | acked,
                acked=acked,
                executed=parse_log(lines),
                states={key: TaskState(task.state) for key, task in tasks.items()},
            )
        )
        if not verdict.ok:
            problems.append(str(verdict))
        problems += self._submissions(jobs) + await self._unrecorded() + await self._unproved()
        if outputs:
            problems += self._outputs(tasks, names)
        return Judgement(problems=tuple(problems), counts=dict(verdict.counts), tasks=tasks)

    def _nodes_of(self, job: str, tasks: dict[Key, Task]) -> tuple[str, ...]:
        """The nodes the answer named. A job that is missing as a whole shows as one lost task."""
        named = self.ledger.nodes.get(job, ())
        return named or tuple(node for other, node in tasks if other == job) or ("?",)

    def _submissions(self, jobs: list[Job]) -> list[str]:
        """One job per submission, however often it was sent; every job a submission of ours."""
        seen = Counter(job.name for job in jobs if job.name in self.ledger.attempted)
        doubled = sorted(name for name, count in seen.items() if count > 1)
        missing = sorted(name for name in self.ledger.acked if name not in seen)
        return [f"submitted twice: {doubled[:5]}"] * bool(doubled) + [f"acknowledged, then gone: {missing[:5]}"] * bool(
            missing
        )

    async def _unrecorded(self) -> list[str]:
        """I8: who submitted what is in the audit record. At once, but for what was answered while the database took nothing."""
        missing: set[str] = set()

        async def complete() -> bool:
            recorded = {entry["details"].get("made") for entry in await self.fleet.system.audit(limit=None)}
            missing.clear()
            missing.update(set(self.ledger.acked.values()) - recorded)
            return not missing

        if await self.eventually(complete, seconds=_RECORD_SECONDS, every=0.5) is not None:
            return []
        return [f"acknowledged and not in the audit record: {len(missing)}, such as {sorted(missing)[:5]}"]

    async def _unproved(self) -> list[str]:
        """I8: the audit record is whole, and sealed up to what came while we asked, whoever was killed while sealing."""
        last: dict[str, object] = {}

        async def sealed() -> bool:
            async for part in self.fleet.audit.verify():
                last.clear()
                last.update(part)
            return not last.get("ok") or (bool(last["checked"]) and int(str(last["unsealed"])) <= _YOUNG_ENTRIES)

        took = await self.eventually(sealed, seconds=_RECORD_SECONDS, every=1.0)
        if took is None:
            return [f"the audit record is not sealed within {_RECORD_SECONDS:g} s: {last.get('unsealed')} entries wait"]
        if last["ok"]:
            return []
        return [f"the audit record is not whole: {last['fault']} at {last['sequence']}: {last['why']}"]

    def _outputs(self, tasks: dict[Key, Task], names: dict[str, str]) -> list[str]:
        """What succeeded has exactly the output foretold (compared by digest, as told in the catalogue: I3)."""
        wrong = []
        gone = set(list(self.ledger.attempted)[: self._wiped])
        for (job, node), task in tasks.items():
            work = self.ledger.attempted.get(names[job])
            if work is None or names[job] in gone or task.state != TaskState.SUCCEEDED:
                continue
            expected = work.output(f"{node}.{job}.{task.attempt}")[: 64 << 10]
            if _digest((task.stdout or "").encode()) != _digest(expected):
                wrong.append(f"{job}/{node} ({len(task.stdout or '')} of {len(expected)} bytes)")
        return [f"OUTPUT differs in {len(wrong)}: {', '.join(wrong[:5])}"] if wrong else []


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
