"""Jobs and their tasks as people read them: one job with a page of its tasks and, if asked for, the beginning of their output."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from corral.domain.errors import Denied, Invalid
from corral.domain.ids import check_node_id, check_object_id
from corral.domain.job import Job, JobState
from corral.domain.kinds import needed
from corral.domain.task import Task, TaskState
from corral.server.application.access.scope import Nodes
from corral.server.application.jobs.allowed import check_allowed
from corral.server.application.jobs.output import OutputReading
from corral.server.application.jobs.reach import Reach
from corral.server.application.jobs.sight import OUTPUT, READ, JobSight, check_output
from corral.server.application.ports.access import Caller
from corral.server.application.ports.jobs import JobFilter, JobPage, JobQueries, NodeTaskPage

PAGE_MAX: Final = 1000
OUTPUT_PAGE_MAX: Final = 250
"""Tasks in a page with output: 250 x 128 KiB is what one answer may hold at worst."""
JOBS_MAX: Final = 500
EVERY_JOB: Final = JobFilter()


@dataclass(frozen=True, kw_only=True)
class JobWithTasks:
    """`output`: node → (stdout, stderr), of the tasks of this page. `next`: cursor of the following page of tasks."""

    job: Job
    tasks: Sequence[Task]
    output: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    next: str | None = None


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """What was submitted. Not `whole`: the caller could not submit it himself, so values that only running it needs stay hidden."""

    job: Job
    whole: bool


class Listing:
    """Use case: reads only."""

    def __init__(
        self, *, queries: JobQueries, output: OutputReading, reach: Reach, sight: JobSight | None = None
    ) -> None:
        self._queries = queries
        self._sight = sight or JobSight(queries=queries)
        self._output = output
        self._reach = reach

    async def get(
        self,
        caller: Caller,
        job: str,
        *,
        states: Sequence[TaskState] = (),
        with_output: bool = False,
        limit: int = PAGE_MAX,
        cursor: str | None = None,
        permissions: Sequence[str] = (READ,),
    ) -> JobWithTasks:
        """Raises NotFound. A page is at most PAGE_MAX tasks, with output OUTPUT_PAGE_MAX.

        Tasks on nodes where the caller has none of `permissions` are left out, and output where he has no output.read.
        """
        check_object_id(job, "J", element="job")
        if with_output:
            check_output(caller)
        limit = check_limit(limit, OUTPUT_PAGE_MAX if with_output else PAGE_MAX)
        seen = await self._sight.of(caller, job, *permissions)
        nodes = seen if isinstance(seen, frozenset) else None
        found, page = await self._queries.with_tasks(job, states=states, nodes=nodes, limit=limit, cursor=cursor)
        output: Mapping[str, tuple[str, str]] = {}
        if with_output:
            shown = self._sight.everywhere(caller, OUTPUT)
            output = await self._output.previews(caller, job, [task for task in page.items if task.node in shown])
        return JobWithTasks(job=found, tasks=self._reach.mark(page.items), output=output, next=page.next)

    async def submitted(self, caller: Caller, job: str) -> Submitted:
        """Raises NotFound."""
        check_object_id(job, "J", element="job")
        await self._sight.of(caller, job, READ)
        found = await self._queries.get(job)
        try:
            check_allowed(caller, found.spec)
            await self._sight.require(caller, job, needed(found.spec), None, f"submit job {job!r} again")
        except (Denied, Invalid):  # Invalid: the plugin of its kind is gone
            return Submitted(job=found, whole=False)
        return Submitted(job=found, whole=True)

    async def of_node(self, caller: Caller, node: str, *, limit: int = 50, cursor: str | None = None) -> NodeTaskPage:
        """What ran on a node, the newest first. Empty for a node the caller may not see, or that nothing ran on."""
        if check_node_id(node, element="node") not in self._sight.everywhere(caller, READ):
            return NodeTaskPage(items=())
        page = await self._queries.of_node(node, limit=check_limit(limit, JOBS_MAX), cursor=cursor)
        marked = self._reach.mark([task for _, task in page.items])
        return NodeTaskPage(
            items=[(job, task) for (job, _), task in zip(page.items, marked, strict=True)], next=page.next
        )

    def only(
        self,
        *,
        states: Sequence[JobState] = (),
        on: str | None = None,
        by: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> JobFilter:
        """`on`: jobs with a task on a node this selector picks now. Raises BadSelector, NothingMatched."""
        nodes = None if on is None else frozenset(self._reach.picked(on))
        return JobFilter(states=states, nodes=nodes, by=by, since=since, until=until)

    async def list(
        self, caller: Caller, only: JobFilter = EVERY_JOB, *, limit: int = 50, cursor: str | None = None
    ) -> JobPage:
        """Newest first, without tasks; only jobs with a node where the caller may see them."""
        return await self._queries.list(
            states=only.states,
            nodes=inside(self._sight.everywhere(caller, READ), only.nodes),
            by=only.by,
            since=only.since,
            until=only.until,
            limit=check_limit(limit, JOBS_MAX),
            cursor=cursor,
        )


def inside(seen: Nodes, asked: Collection[str] | None) -> Collection[str] | None:
    """Of the nodes asked for those that are seen; None when nothing limits them."""
    if not isinstance(seen, frozenset):
        return asked
    return seen if asked is None else seen.intersection(asked)


def check_limit(limit: int, most: int) -> int:
    """`limit` cut at `most`; raises Invalid below 1."""
    if limit < 1:
        raise Invalid(f"cannot list {limit} rows: expected at least 1", element="limit", hint="for example limit=50")
    return min(limit, most)
