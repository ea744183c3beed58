"""JobStore and JobQueries in memory, and the rows all fakes of the SQL stores share.

Jobs use the ledger that SQL uses (server/infrastructure/sql), so a report, a cancel or a retry means here exactly what it means
there. One loop only; every method completes without a real wait.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from corral.domain.approval import Approval
from corral.domain.artifact import Revision
from corral.domain.artifact_use import cleared_meanwhile, ships
from corral.domain.errors import NotFound
from corral.domain.job import Job, JobState, TaskSpec
from corral.domain.node import Node, Presence
from corral.domain.placement import Placement, follows
from corral.domain.presence_log import PresenceChange
from corral.domain.rollout_state import Rollout
from corral.domain.task import OPEN, Task, TaskState
from corral.runtime.backoff import redeliver_delay
from corral.server.application.ports.access import ApiToken, AuditEntry, Session, StoredAnswer
from corral.server.application.ports.jobs import DeadLetter, Delivery, Fence, JobPage, NodeTaskPage, TaskPage
from corral.server.application.ports.nodes import JoinToken
from corral.server.application.ports.rollouts import Changes
from corral.server.infrastructure.sql.job_ledger import JobRow, Ledger, TaskRow, keep_bygone
from corral.server.infrastructure.sql.job_rows import Owed, to_delivery, to_task
from corral.server.infrastructure.sql.job_tx import JobTx, Key
from corral.server.infrastructure.sql.jobs import LedgerJobStore
from corral.server.infrastructure.sql.jobs_queries import PAGE_MAX, id_range, may_forget
from corral.server.infrastructure.sql.placements import place_of
from corral.server.infrastructure.sql.values import at, decode_cursor, encode_cursor, seconds


@dataclass
class StoredRollout:
    """A row of the rollouts fake (testing/rollout_stores.py)."""

    rollout: Rollout
    changes: Changes
    operation: str | None


@dataclass
class MemoryDatabase:
    """All rows of one fake database."""

    jobs: dict[str, Job] = field(default_factory=dict)
    job_rows: dict[str, JobRow] = field(default_factory=dict)
    operations: dict[str, str] = field(default_factory=dict)
    tasks: dict[Key, TaskRow] = field(default_factory=dict)
    attempts: dict[tuple[str, str, int], TaskRow] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    revocations: dict[str, int] = field(default_factory=dict)
    join_tokens: dict[str, JoinToken] = field(default_factory=dict)
    api_tokens: dict[str, ApiToken] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    answers: dict[tuple[str, str], StoredAnswer] = field(default_factory=dict)
    audit: list[AuditEntry] = field(default_factory=list)
    leases: dict[str, tuple[str, float, int]] = field(default_factory=dict)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    revisions: dict[tuple[str, int], Revision] = field(default_factory=dict)
    last_revisions: dict[str, int] = field(default_factory=dict)
    applied: set[tuple[str, int]] = field(default_factory=set)
    approvals: dict[str, Approval] = field(default_factory=dict)
    rollouts: dict[str, StoredRollout] = field(default_factory=dict)
    placements: dict[tuple[str, str], Placement] = field(default_factory=dict)
    presence_log: list[PresenceChange] = field(default_factory=list)

    def job(self, id_: str) -> Job:
        """The job as it is now; raises NotFound."""
        job, row = self.jobs.get(id_), self.job_rows.get(id_)
        if job is None or row is None:
            raise NotFound(f"cannot find job {id_!r}", element="job", hint="corral exec list")
        return replace(
            job,
            state=row.state,
            counts=dict(row.counts),
            cancel_asked=row.cancel_asked,
            expires_at=at(row.expires_at),
            finished_at=None if row.finished_at is None else at(row.finished_at),
        )


class _MemoryJobTx:
    """JobTx on the rows themselves. Rows are given out as copies, so a block that raises before `save` changes nothing."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def holds(self, fence: Fence) -> bool:
        found, lease = self._db.rollouts.get(fence.rollout), self._db.leases.get("leader")
        return (
            found is not None
            and found.rollout.resource_version == fence.version
            and lease is not None
            and lease[2] == fence.token
        )

    async def approval(self, id_: str) -> Approval | None:
        return self._db.approvals.get(id_)

    async def save_approval(self, approval: Approval) -> None:
        self._db.approvals[approval.id] = approval

    async def insert(
        self,
        job: Job,
        tasks: Sequence[TaskRow],
        *,
        held: int,
        operation: str | None,
        approval: Approval | None = None,
    ) -> Job | None:
        if operation is not None and operation in self._db.operations:
            return self._db.job(self._db.operations[operation])
        if (shipped := ships(job.spec)) and shipped not in self._db.revisions:
            raise cleared_meanwhile(*shipped)
        if operation is not None:
            self._db.operations[operation] = job.id
        self._db.jobs[job.id] = job
        self._db.job_rows[job.id] = JobRow(
            id=job.id,
            state=job.state,
            counts=dict(job.counts),
            held=held,
            concurrency=job.concurrency,
            retries=job.retries,
            cancel_asked=job.cancel_asked,
            expires_at=seconds(job.expires_at),
            window=(job.expires_at - job.created_at).total_seconds(),
            finished_at=None if job.finished_at is None else seconds(job.finished_at),
            awaiting=approval is not None,
        )
        if approval is not None:
            self._db.approvals[approval.id] = approval
        self._db.tasks |= {(row.job, row.node): row for row in tasks}
        return None

    async def jobs(self, ids: Collection[str]) -> dict[str, JobRow]:
        rows = self._db.job_rows
        return {id_: replace(rows[id_], counts=dict(rows[id_].counts)) for id_ in sorted(ids) if id_ in rows}

    async def tasks(self, keys: Collection[Key]) -> list[TaskRow]:
        return [replace(self._db.tasks[key]) for key in sorted(keys) if key in self._db.tasks]

    async def of_job(self, job: str, nodes: Sequence[str] | None) -> list[TaskRow]:
        return self._select(lambda row: row.job == job and (nodes is None or row.node in nodes))

    async def held(self, job: str, count: int) -> list[TaskRow]:
        found = self._select(lambda row: row.job == job and row.held)
        return found[:count]

    async def node_keys(self, node: str) -> list[Key]:
        return [(row.job, row.node) for row in self._select(lambda row: row.node == node and row.state in OPEN)]

    async def overdue_keys(self, queued_before: float, lost_before: float, limit: int) -> list[Key]:
        gone = {
            node.id
            for node in self._db.nodes.values()
            if node.presence is not Presence.ONLINE
            and (seen := node.last_seen or node.enrolled_at) is not None
            and seconds(seen) < lost_before
        }
        found = self._select(
            lambda row: (
                row.not_after <= queued_before
                if row.state is TaskState.QUEUED
                else row.state in OPEN and row.node in gone
            )
        )
        return [(row.job, row.node) for row in found[:limit]]

    async def due(self, now: float, limit: int) -> Sequence[TaskRow | Owed]:
        found = [
            row
            for row in self._db.tasks.values()
            if row.due_at is not None and row.due_at <= now and (row.cancel_asked or row.not_after > now)
        ]
        found.sort(key=lambda row: row.due_at or 0.0)
        for place, row in enumerate(found[:limit]):
            row.due_at = now + redeliver_delay(row.published, place)
            row.published += 1
        return [replace(row) for row in found[:limit]]

    async def save(self, ledger: Ledger) -> None:
        for row in ledger.ended_attempts:
            self._db.attempts[(row.job, row.node, row.attempt)] = row
        for key in ledger.before:
            self._db.tasks[key] = replace(ledger.changed[key])
        for id_ in ledger.dirty:
            row_of_job = ledger.jobs[id_]
            self._db.job_rows[id_] = replace(row_of_job, counts=dict(row_of_job.counts))
            job = self._db.jobs[id_]
            self._db.jobs[id_] = replace(job, resource_version=job.resource_version + 1)
        for node, said in ledger.bygone:
            old = self._db.attempts.get((said.job, node, said.attempt))
            if old is not None:
                keep_bygone(old, said, ledger.now)

    async def place(self, placements: Sequence[Placement]) -> None:
        numbers = [(item.digest, item.source_path, item.revision) for item in self._db.revisions.values()]
        for one in sorted(placements, key=lambda placement: placement.at):
            known = self._db.placements.get((one.node, place_of(one.dest)))
            made = follows(known, one, lambda digest: [key[1:] for key in numbers if key[0] == digest])
            if made is not None and one.node in self._db.nodes:
                self._db.placements[one.node, place_of(one.dest)] = made

    async def specs(self, ids: Collection[str]) -> dict[str, tuple[str, TaskSpec]]:
        return {id_: (self._db.jobs[id_].kind, self._db.jobs[id_].spec) for id_ in ids if id_ in self._db.jobs}

    async def whole(self, ids: Collection[str]) -> list[Job]:
        return [self._db.job(id_) for id_ in sorted(ids)]

    def _select(self, wanted: Any) -> list[TaskRow]:
        return [replace(row) for _, row in sorted(self._db.tasks.items()) if wanted(row)]


class MemoryJobStore(LedgerJobStore):
    """JobStore in memory."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db
        super().__init__(self._open)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[JobTx]:
        yield _MemoryJobTx(self._db)

    async def open_for(self, node: str, *, limit: int, after: tuple[str, int] | None = None) -> Sequence[Delivery]:
        rows = [row for row in self._db.tasks.values() if row.node == node and row.state in OPEN and not row.held]
        start = ("", -1) if after is None else after
        last = self._db.tasks.get((start[0], node))
        order = (not (last is not None and last.cancel_asked), start[0])
        rows = sorted(
            (row for row in rows if after is None or (not row.cancel_asked, row.job) > order),
            key=lambda row: (not row.cancel_asked, row.job),
        )
        return [to_delivery(row, self._db.jobs[row.job].kind, self._db.jobs[row.job].spec) for row in rows[:limit]]


class MemoryJobQueries:
    """JobQueries in memory."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def get(self, job: str) -> Job:
        return self._db.job(job)

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
        start = decode_cursor(cursor, str)
        begin, end = id_range(since, until)
        found = [
            self._db.job(id_)
            for id_ in sorted(self._db.jobs, reverse=True)
            if (start is None or id_ < start[0])
            and begin <= id_ < end
            and (by is None or self._db.jobs[id_].created_by == by)
            and (not states or self._db.job_rows[id_].state in states)
            and (nodes is None or any((id_, node) in self._db.tasks for node in nodes))
        ]
        more = len(found) > limit
        return JobPage(items=found[:limit], next=encode_cursor(found[limit - 1].id) if more else None)

    async def tasks(
        self, job: str, *, states: Sequence[TaskState] = (), limit: int = 1000, cursor: str | None = None
    ) -> TaskPage:
        self._db.job(job)
        return self._page(job, states, None, limit, cursor)

    def _page(
        self, job: str, states: Sequence[TaskState], nodes: Collection[str] | None, limit: int, cursor: str | None
    ) -> TaskPage:
        limit = max(1, min(limit, PAGE_MAX))
        start = decode_cursor(cursor, str)
        found = [
            to_task(row)
            for (of, node), row in sorted(self._db.tasks.items())
            if of == job
            and (start is None or node > start[0])
            and (not states or row.state in states)
            and (nodes is None or node in nodes)
        ]
        more = len(found) > limit
        return TaskPage(items=found[:limit], next=encode_cursor(found[limit - 1].node) if more else None)

    async def nodes(self, job: str) -> Sequence[str]:
        return sorted(node for of, node in self._db.tasks if of == job)

    async def with_tasks(
        self,
        job: str,
        *,
        states: Sequence[TaskState] = (),
        nodes: Collection[str] | None = None,
        limit: int = 1000,
        cursor: str | None = None,
    ) -> tuple[Job, TaskPage]:
        return self._db.job(job), self._page(job, states, nodes, limit, cursor)

    async def of_node(self, node: str, *, limit: int = 50, cursor: str | None = None) -> NodeTaskPage:
        limit = max(1, min(limit, PAGE_MAX))
        start = decode_cursor(cursor, str)
        found = [
            (self._db.job(job), to_task(row))
            for (job, of), row in sorted(self._db.tasks.items(), reverse=True)
            if of == node and (start is None or job < start[0])
        ]
        more = len(found) > limit
        return NodeTaskPage(items=found[:limit], next=encode_cursor(found[limit - 1][0].id) if more else None)

    async def with_task(self, job: str, node: str) -> tuple[Job, Task, Sequence[Task]]:
        return self._db.job(job), await self.task(job, node), await self.attempts(job, node)

    async def task(self, job: str, node: str) -> Task:
        row = self._db.tasks.get((job, node))
        if row is None:
            raise NotFound(
                f"cannot find a task of node {node!r} in job {job!r}", element="node", hint=f"corral exec get {job}"
            )
        return to_task(row)

    async def attempts(self, job: str, node: str) -> Sequence[Task]:
        return [to_task(row) for key, row in sorted(self._db.attempts.items()) if key[:2] == (job, node)]

    async def open_digests(self, nodes: Sequence[str]) -> Mapping[str, frozenset[tuple[str, int]]]:
        accepted = OPEN - {TaskState.QUEUED}
        return {
            node: frozenset(
                (row.job, row.attempt) for row in self._db.tasks.values() if row.node == node and row.state in accepted
            )
            for node in nodes
        }

    async def open_count(self, node: str) -> int:
        return sum(row.node == node and row.state in OPEN for row in self._db.tasks.values())

    async def settled(self, node: str, items: Sequence[tuple[str, int]]) -> Sequence[tuple[str, int]]:
        def known(job: str) -> tuple[int, TaskState, str, str] | None:
            row = self._db.tasks.get((job, node))
            return None if row is None else (row.attempt, row.state, row.reason, row.late)

        return [(job, attempt) for job, attempt in items if may_forget(attempt, known(job))]
