"""Reads about jobs and tasks: keyset paged, newest job first, tasks by node id; never through the writer, never counting rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from corral.domain.errors import NotFound
from corral.domain.ids import first_id
from corral.domain.job import Job, JobState
from corral.domain.task import OPEN, Reason, Task, TaskState
from corral.server.application.ports.jobs import JobPage, NodeTaskPage, TaskPage
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.job_ledger import LATE_AFTER
from corral.server.infrastructure.sql.job_rows import (
    JOB_COLUMNS,
    JOB_SELECT,
    TASK_NAMES,
    attempt_row,
    task_row,
    task_select,
    to_job,
    to_task,
)
from corral.server.infrastructure.sql.statements import Statement, as_set
from corral.server.infrastructure.sql.values import clean, decode_cursor, encode_cursor

PAGE_MAX: Final = 10_000
_TASK: Final = task_select("t")
_GET: Final = Statement(f"select {JOB_SELECT} from jobs where id = :job")
_OF_STATES: Final = "and state in $in(states)"
_ON_NODES: Final = "and exists (select 1 from tasks t where t.job = jobs.id and t.node in $in(nodes))"


def _list(*limits: str) -> Statement:
    where = " ".join(("id < :after and id >= :since", *limits))
    return Statement(f"select {JOB_SELECT} from jobs where {where} order by id desc limit :limit", out=JOB_COLUMNS)


def _tasks(*limits: str) -> Statement:
    where = " ".join(("t.job = :job and t.node > :after", *limits))
    return Statement(f"select {_TASK} from tasks t where {where} order by t.node limit :limit", out=TASK_NAMES)


_BY: Final = "and created_by = :by"
_LISTS: Final = {
    (states, nodes, by): _list(
        *(text for wanted, text in ((states, _OF_STATES), (nodes, _ON_NODES), (by, _BY)) if wanted)
    )
    for states in (False, True)
    for nodes in (False, True)
    for by in (False, True)
}
"""By (of states, on nodes, by somebody)."""
_TASKS: Final = {
    (False, False): _tasks(),
    (True, False): _tasks("and t.state in $in(states)"),
    (False, True): _tasks("and t.node in $in(nodes)"),
    (True, True): _tasks("and t.state in $in(states)", "and t.node in $in(nodes)"),
}
_OF_NODE: Final = Statement(
    # From the jobs, whose key gives the order: tasks have no index by node, which every report would pay for.
    f"""
    select {_TASK} from jobs j join tasks t on t.job = j.id and t.node = :node
    where j.id < :after order by j.id desc limit :limit
    """,
    out=TASK_NAMES,
)
_GET_MANY: Final = Statement(f"select {JOB_SELECT} from jobs where id in $in(jobs)", out=JOB_COLUMNS)
_NODES: Final = Statement("select node from tasks where job = :job order by node", out=("node",))
_ONE_TASK: Final = Statement(f"select {_TASK} from tasks t where t.job = :job and t.node = :node")
_ATTEMPTS: Final = Statement("select outcome from task_attempts where job = :job and node = :node order by attempt")
_ACCEPTED: Final = Statement(
    """
    select t.node, t.job, t.attempt from tasks t
    where t.node in $in(nodes) and t.finished_at is null and t.state <> 'queued'
    """,
    out=("node", "job", "attempt"),
)
_OPEN_COUNT: Final = Statement("select count(*) from tasks where node = :node and finished_at is null")
_KNOWN: Final = Statement(
    "select t.job, t.attempt, t.state, t.reason, t.late from tasks t where t.node = :node and t.job in $in(jobs)",
    out=("job", "attempt", "state", "reason", "late"),
)


def id_range(since: datetime | None, until: datetime | None) -> tuple[str, str]:
    """Job ids sort by time, so a span of time is a span of ids: from the first, before the second."""
    # "~" sorts after every id (capital letter, digits, letters).
    begin = "" if since is None else first_id("J", int(since.timestamp() * 1000))
    return begin, "~" if until is None else first_id("J", int(until.timestamp() * 1000))


def may_forget(attempt: int, known: tuple[int, TaskState, str, str] | None) -> bool:
    """Whether a node may drop its record of an attempt, given (attempt, state, reason, late) of the task, if there is one.

    Not while it is open, and not while a late result may still come: dropping the record would lose it.
    """
    if known is None or attempt != known[0]:
        return True
    _, state, reason, late = known
    given_up = state in LATE_AFTER or (state is TaskState.CANCELLED and reason == Reason.WITHDRAWN.value)
    return state not in OPEN and not (given_up and late == "{}")


def _limits(states: Iterable[StrEnum], nodes: Collection[str] | None) -> dict[str, str]:
    """The sets a query is limited to; what its text does not name is not bound."""
    found = {"states": as_set(state.value for state in states)} if states else {}
    return found if nodes is None else {**found, "nodes": as_set(nodes)}


def _the_job(rows: Sequence[Sequence[Any]], job: str) -> Job:
    if not rows:
        raise NotFound(f"cannot find job {job!r}", element="job", hint="corral exec list")
    return to_job(rows[0])


def _the_task(rows: Sequence[Sequence[Any]], job: str, node: str) -> Task:
    if not rows:
        raise NotFound(
            f"cannot find a task of node {node!r} in job {job!r}", element="node", hint=f"corral exec get {job}"
        )
    return to_task(task_row(rows[0]))


class SqlJobQueries:
    """JobQueries over SQLite or PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, job: str) -> Job:
        async with self._db.read() as tx:
            return _the_job(await tx.rows(_GET, job=clean(job)), job)

    async def list(
        self,
        *,
        states: Sequence[JobState] = (),
        nodes: Collection[str] | None = None,
        by: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> JobPage:
        limit = max(1, min(limit, PAGE_MAX))
        begin, end = id_range(since, until)
        start = decode_cursor(cursor, str)
        values: dict[str, Any] = {"after": min(start[0], end) if start else end, "since": begin, "limit": limit + 1}
        values |= _limits(states, nodes)
        if by is not None:
            values["by"] = clean(by)
        async with self._db.read() as tx:
            rows = await tx.rows(_LISTS[bool(states), nodes is not None, by is not None], **values)
        jobs = [to_job(row) for row in rows[:limit]]
        return JobPage(items=jobs, next=encode_cursor(jobs[-1].id) if len(rows) > limit else None)

    async def tasks(
        self, job: str, *, states: Sequence[TaskState] = (), limit: int = 1000, cursor: str | None = None
    ) -> TaskPage:
        return (await self.with_tasks(job, states=states, limit=limit, cursor=cursor))[1]

    async def nodes(self, job: str) -> Sequence[str]:
        async with self._db.read() as tx:
            return [row[0] for row in await tx.rows(_NODES, job=clean(job))]

    async def with_tasks(
        self,
        job: str,
        *,
        states: Sequence[TaskState] = (),
        nodes: Collection[str] | None = None,
        limit: int = 1000,
        cursor: str | None = None,
    ) -> tuple[Job, TaskPage]:
        limit = max(1, min(limit, PAGE_MAX))
        start = decode_cursor(cursor, str)
        values: dict[str, Any] = {"job": clean(job), "after": start[0] if start else "", "limit": limit + 1}
        page = (_TASKS[bool(states), nodes is not None], {**values, **_limits(states, nodes)})
        async with self._db.read() as tx:
            found, rows = await tx.each((_GET, {"job": clean(job)}), page)
        tasks = [to_task(task_row(row)) for row in rows[:limit]]
        return _the_job(found, job), TaskPage(
            items=tasks, next=encode_cursor(tasks[-1].node) if len(rows) > limit else None
        )

    async def of_node(self, node: str, *, limit: int = 50, cursor: str | None = None) -> NodeTaskPage:
        limit = max(1, min(limit, PAGE_MAX))
        start = decode_cursor(cursor, str)
        async with self._db.read() as tx:
            rows = await tx.rows(_OF_NODE, node=clean(node), after=start[0] if start else "~", limit=limit + 1)
            tasks = [to_task(task_row(row)) for row in rows[:limit]]
            found = await tx.rows(_GET_MANY, jobs=as_set(task.job for task in tasks)) if tasks else []
        jobs = {job.id: job for job in map(to_job, found)}
        return NodeTaskPage(
            items=[(jobs[task.job], task) for task in tasks],
            next=encode_cursor(tasks[-1].job) if len(rows) > limit else None,
        )

    async def task(self, job: str, node: str) -> Task:
        async with self._db.read() as tx:
            return _the_task(await tx.rows(_ONE_TASK, job=clean(job), node=clean(node)), job, node)

    async def with_task(self, job: str, node: str) -> tuple[Job, Task, Sequence[Task]]:
        values = {"job": clean(job), "node": clean(node)}
        async with self._db.read() as tx:
            jobs, tasks, attempts = await tx.each((_GET, {"job": clean(job)}), (_ONE_TASK, values), (_ATTEMPTS, values))
        earlier = [to_task(attempt_row(row[0])) for row in attempts]
        return _the_job(jobs, job), _the_task(tasks, job, node), earlier

    async def attempts(self, job: str, node: str) -> Sequence[Task]:
        async with self._db.read() as tx:
            rows = await tx.rows(_ATTEMPTS, job=clean(job), node=clean(node))
        return [to_task(attempt_row(row[0])) for row in rows]

    async def open_digests(self, nodes: Sequence[str]) -> Mapping[str, frozenset[tuple[str, int]]]:
        """Delivered and running tasks; a queued one may be accepted too, which two beats in a row will not show."""
        found: dict[str, set[tuple[str, int]]] = {node: set() for node in nodes}
        async with self._db.read() as tx:
            for node, job, attempt in await tx.rows(_ACCEPTED, nodes=as_set(nodes)):
                found[node].add((job, attempt))
        return {node: frozenset(items) for node, items in found.items()}

    async def open_count(self, node: str) -> int:
        async with self._db.read() as tx:
            row = await tx.row(_OPEN_COUNT, node=node)
        return 0 if row is None else int(row[0])

    async def settled(self, node: str, items: Sequence[tuple[str, int]]) -> Sequence[tuple[str, int]]:
        wanted = {clean(job) for job, _ in items}
        async with self._db.read() as tx:
            rows = await tx.rows(_KNOWN, node=node, jobs=as_set(wanted)) if wanted else ()
        known = {row[0]: (row[1], TaskState(row[2]), row[3], row[4]) for row in rows}
        return [(job, attempt) for job, attempt in items if may_forget(attempt, known.get(job))]
