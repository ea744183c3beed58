"""Watching a job: a snapshot first, then what changes, the output as it arrives, and `End` once everything was said.

`End` comes when the job is over AND all output stored by then was passed on; a node sends its output before its last report,
so a watcher that saw `End` has the whole output. Task changes never go backwards, whatever order they are heard in. Output of
nodes that are not in the job is ignored: a node may write under any job's name, but only as itself. Changes made by another
server do not reach our EventHub, so a quiet job is looked at in the database every few seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from corral.domain.ids import check_node_id, check_object_id
from corral.domain.job import Job, JobState
from corral.domain.task import RANK, Task
from corral.runtime.clock import Clock
from corral.server.application.access.scope import ALL, Nodes
from corral.server.application.jobs.events import EventHub, Subscription
from corral.server.application.jobs.pump import PAGE, OutputPump
from corral.server.application.jobs.reach import Reach
from corral.server.application.jobs.sight import OUTPUT, READ, JobSight, check_output, unseen_task
from corral.server.application.ports.access import Caller
from corral.server.application.ports.jobs import JobQueries, OutputChunk, OutputLog

LOOK_SECONDS: Final = 3.0
JOB_SECONDS: Final = 0.3
"""How often the counts of a busy job are read for its watchers."""
TASK_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything as it is now; replaces all a watcher knew."""

    job: Job
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class TasksChanged:
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class JobChanged:
    job: Job


@dataclass(frozen=True, slots=True)
class End:
    """The job is over and its stored output was passed on; nothing follows."""

    job: Job


WatchEvent = Snapshot | TasksChanged | JobChanged | OutputChunk | End


class Watching:
    """Use case. Each call gives an iterator of its own; closing it frees everything it holds."""

    def __init__(
        self,
        *,
        queries: JobQueries,
        output: OutputLog,
        events: EventHub,
        reach: Reach,
        clock: Clock,
        look_seconds: float = LOOK_SECONDS,
        sight: JobSight | None = None,
    ) -> None:
        self._sight = sight or JobSight(queries=queries)
        self._queries = queries
        self._output = output
        self._events = events
        self._reach = reach
        self._clock = clock
        self._look_seconds = look_seconds

    async def job(
        self, caller: Caller, job: str, *, output: bool = False, after: int = 0
    ) -> AsyncGenerator[WatchEvent, None]:
        """Snapshot, changes, output beyond sequence `after` when asked for, End. Raises NotFound before anything is sent."""
        check_object_id(job, "J", element="job")
        await self._queries.get(job)
        if output:
            check_output(caller)
        seen = await self._sight.of(caller, job, READ)
        start = await self._resume(after) if output else None
        return self._watch(job, start, seen=seen, heard=self._sight.everywhere(caller, OUTPUT))

    async def output(
        self, caller: Caller, job: str, *, node: str | None = None, after: int = 0, follow: bool = False
    ) -> AsyncGenerator[WatchEvent, None]:
        """Output alone, of one node or all, then End; `follow` waits for the end of the job. Raises NotFound."""
        check_object_id(job, "J", element="job")
        found = await self._queries.get(job)
        seen = await self._sight.of(caller, job, OUTPUT)
        if node is not None:
            if check_node_id(node, element="node") not in seen:
                raise unseen_task(job, node)
            await self._queries.task(job, node)
        start = await self._resume(after)
        if follow and found.state is JobState.OPEN:
            return self._output_of(self._watch(job, start, node=node, seen=seen))
        return self._stored(found, node, start, seen)

    async def _resume(self, after: int) -> int:
        """Where to read on; a sequence from before the engine's store was wiped means: from the start."""
        return after if after <= 0 or after <= await self._output.end() else 0

    async def _output_of(self, events: AsyncGenerator[WatchEvent, None]) -> AsyncGenerator[WatchEvent, None]:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, OutputChunk | End):
                    yield event

    async def _stored(self, job: Job, node: str | None, after: int, seen: Nodes) -> AsyncGenerator[WatchEvent, None]:
        nodes = {task.node for task in await self._tasks(job.id, seen)} if node is None else {node}
        async for chunk in self._rest(job.id, node, after):
            if chunk.node in nodes:
                yield chunk
        yield End(job)

    async def _watch(
        self, job_id: str, after: int | None, *, node: str | None = None, seen: Nodes = ALL, heard: Nodes = ALL
    ) -> AsyncGenerator[WatchEvent, None]:
        """Tasks of the nodes in `seen`, output of those that are in `heard` too."""
        subscription = self._events.subscribe(job_id)
        pump = None if after is None else OutputPump(self._output, job_id, node, after, subscription.wake, self._clock)
        known = _Seen(seen)
        try:
            snapshot = await self._snapshot(job_id, seen)
            known.newer(snapshot.tasks)
            yield snapshot
            job = snapshot.job
            if pump is not None and job.state is JobState.OPEN:
                pump.start()
            async for event in self._changes(job, subscription, pump, known, heard):
                if isinstance(event, JobChanged | Snapshot):
                    job = event.job
                yield event
            if pump is not None:
                await pump.close()
                for chunk in pump.take():
                    if chunk.node in known and chunk.node in heard:
                        yield chunk
                async for chunk in self._rest(job_id, node, pump.position):
                    if chunk.node in known and chunk.node in heard:
                        yield chunk
            yield End(job)
        finally:
            self._events.unsubscribe(subscription)
            if pump is not None:
                await pump.close()

    async def _changes(
        self, job: Job, subscription: Subscription, pump: OutputPump | None, known: _Seen, heard: Nodes
    ) -> AsyncGenerator[WatchEvent, None]:
        """Until the job is over."""
        now = self._clock.monotonic()
        looked_at = now
        stale = False
        while job.state is JobState.OPEN:
            subscription.wake.clear()
            news = subscription.take()
            if pump is not None:
                for chunk in pump.take():
                    if chunk.node in known and chunk.node in heard:
                        yield chunk
            if news.resync:
                snapshot = await self._snapshot(job.id, known.seen)
                known.newer(snapshot.tasks)
                job = snapshot.job
                yield snapshot
            if tasks := known.newer(news.tasks):
                stale = True
                yield TasksChanged(tuple(self._reach.mark(tasks)))
            now = self._clock.monotonic()
            if news.ended is not None:
                job = news.ended
                yield JobChanged(job)
                continue
            if stale and now - looked_at >= JOB_SECONDS:
                job, stale, looked_at = await self._queries.get(job.id), False, now
                yield JobChanged(job)
                continue
            if now - looked_at >= self._look_seconds:
                looked_at = now
                fresh = await self._queries.get(job.id)
                if (fresh.counts, fresh.state, fresh.cancel_asked) != (job.counts, job.state, job.cancel_asked):
                    snapshot = await self._snapshot(job.id, known.seen)
                    known.newer(snapshot.tasks)
                    job = snapshot.job
                    yield snapshot
                    continue
            until = looked_at + (JOB_SECONDS if stale else self._look_seconds)
            try:
                async with asyncio.timeout(max(0.0, until - now)):
                    await subscription.wake.wait()
            except TimeoutError:
                pass

    async def _rest(self, job: str, node: str | None, after: int) -> AsyncGenerator[OutputChunk, None]:
        """What is stored beyond `after`, up to what was the end when asked."""
        end = await self._output.end()
        while after < end:
            chunks = await self._output.read(job, node=node, after=after, limit=PAGE)
            for chunk in chunks:
                after = chunk.sequence
                yield chunk
            if not chunks:
                return

    async def _snapshot(self, job: str, seen: Nodes) -> Snapshot:
        # The job first: one that has ended has all its tasks ended, so no watcher gets an End with a task still open before it.
        found = await self._queries.get(job)
        return Snapshot(found, tuple(self._reach.mark(await self._tasks(job, seen))))

    async def _tasks(self, job: str, seen: Nodes) -> list[Task]:
        tasks: list[Task] = []
        cursor: str | None = None
        while True:
            page = await self._queries.tasks(job, limit=TASK_PAGE, cursor=cursor)
            tasks += page.items if seen is ALL else [task for task in page.items if task.node in seen]
            cursor = page.next
            if cursor is None:
                return tasks


class _Seen:
    """How far each node's task is known to be, so that an older change heard later is not passed on; of nodes in `seen` alone."""

    def __init__(self, seen: Nodes = ALL) -> None:
        self.seen = seen
        self._at: dict[str, tuple[int, int, int, bool, bool]] = {}

    def __contains__(self, node: str) -> bool:
        return node in self._at

    def newer(self, tasks: Iterable[Task]) -> tuple[Task, ...]:
        fresh = []
        for task in tasks:
            if task.node not in self.seen:
                continue
            at = (task.attempt, RANK[task.state], task.seq, task.cancel_asked, bool(task.late))
            if at >= self._at.get(task.node, (0, 0, 0, False, False)):
                self._at[task.node] = at
                fresh.append(task)
        return tuple(fresh)
