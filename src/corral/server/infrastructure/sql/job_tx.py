"""What the jobs store asks of one open transaction. SQL answers it here; corral.testing.stores answers it from a dict.

Locks are taken in one order everywhere, so that two servers never wait for each other in a circle: `jobs` first (by id), then
task rows (by job and node). The methods that only name tasks (`…_keys`) lock nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, Protocol

from corral.domain.approval import Approval
from corral.domain.artifact_use import cleared_meanwhile, ships
from corral.domain.errors import Internal
from corral.domain.job import Job, TaskSpec
from corral.domain.placement import Placement
from corral.domain.task import Outcome
from corral.runtime.backoff import redeliver_delay
from corral.server.application.ports.jobs import Fence
from corral.server.infrastructure.sql.approvals import COLUMNS as APPROVAL_COLUMNS
from corral.server.infrastructure.sql.approvals import SELECT as APPROVAL_SELECT
from corral.server.infrastructure.sql.approvals import approval_values, to_approval
from corral.server.infrastructure.sql.database import Tx
from corral.server.infrastructure.sql.job_ledger import JobRow, Ledger, TaskRow, keep_bygone
from corral.server.infrastructure.sql.job_rows import (
    JOB_SELECT,
    OWED_NAMES,
    OWED_SELECT,
    TASK_COLUMNS,
    TASK_NAMES,
    Owed,
    attempt_row,
    attempt_text,
    counts_text,
    job_row,
    spec_of,
    spec_text,
    task_row,
    task_select,
    task_values,
    to_job,
)
from corral.server.infrastructure.sql.placements import save_placements
from corral.server.infrastructure.sql.statements import Statement, as_set
from corral.server.infrastructure.sql.values import clean, clean_count, stamp

Key = tuple[str, str]
"""(job, node): a task's identity."""


class JobTx(Protocol):
    """One transaction on jobs and tasks."""

    async def insert(
        self,
        job: Job,
        tasks: Sequence[TaskRow],
        *,
        held: int,
        operation: str | None,
        approval: Approval | None = None,
    ) -> Job | None:
        """None when inserted, or the job that has this `operation` already."""
        ...

    async def approval(self, id_: str) -> Approval | None: ...

    async def save_approval(self, approval: Approval) -> None: ...

    async def holds(self, fence: Fence) -> bool: ...

    async def jobs(self, ids: Collection[str]) -> dict[str, JobRow]: ...

    async def tasks(self, keys: Collection[Key]) -> list[TaskRow]: ...

    async def of_job(self, job: str, nodes: Sequence[str] | None) -> list[TaskRow]: ...

    async def held(self, job: str, count: int) -> list[TaskRow]: ...

    async def node_keys(self, node: str) -> list[Key]: ...

    async def overdue_keys(self, queued_before: float, lost_before: float, limit: int) -> list[Key]: ...

    async def due(self, now: float, limit: int) -> Sequence[TaskRow | Owed]: ...

    async def save(self, ledger: Ledger) -> None: ...

    async def place(self, placements: Sequence[Placement]) -> None: ...

    async def specs(self, ids: Collection[str]) -> dict[str, tuple[str, TaskSpec]]: ...

    async def whole(self, ids: Collection[str]) -> list[Job]: ...


_KEYS: Final = {"job": "text", "node": "text"}
_KEY: Final = tuple(_KEYS)
_TASK: Final = task_select("t")
_INSERT_JOB: Final = Statement(
    """
    insert into jobs (id, name, kind, target, spec, state, counts, nodes, pinned, created_at, created_by, expires_at,
                      "window", finished_at, concurrency, "offline", retries, cancel_asked, held, awaiting, operation)
    values (:id, :name, :kind, :target, :spec, :state, :counts, :nodes, :pinned, :created_at, :created_by, :expires_at,
            :window, :finished_at, :concurrency, :offline, :retries, :cancel_asked, :held, :awaiting, :operation)
    on conflict (operation) do nothing
    """
)
_FENCE: Final = Statement(
    """
    select 1 from rollouts t where t.id = :rollout and t.resource_version = :version
      and exists (select 1 from leases l where l.name = 'leader' and l.token = :token) $lock
    """
)
_BY_OPERATION: Final = Statement(f"select {JOB_SELECT} from jobs where operation = :operation")
_INSERT_TASKS: Final = Statement(
    """
    insert into tasks (job, node, state, reason, queued_at, finished_at, not_after, due_at, published)
    select :job, v.node, v.state, v.reason, :queued_at, v.finished_at, :not_after, v.due_at, v.published
    from $rows where v.node is not null
    """,
    {
        "node": "text",
        "state": "text",
        "reason": "text",
        "finished_at": "double precision",
        "due_at": "double precision",
        "published": "integer",
    },
)
_HOLD_REVISION: Final = Statement(
    "select t.revision from revisions t where t.source_path = :source_path and t.revision = :revision $lock"
)
_LOCK_JOBS: Final = Statement(
    """
    select t.id, t.state, t.counts, t.held, t.concurrency, t.retries, t.cancel_asked, t.expires_at, t."window",
           t.finished_at, t.awaiting
    from jobs t where t.id in $in(ids) order by t.id $lock
    """
)
_LOCK_TASKS: Final = Statement(
    f"""
    select {_TASK} from $rows cross join tasks t where t.job = v.job and t.node = v.node order by t.job, t.node $lock
    """,
    _KEYS,
    out=TASK_NAMES,
)
_OF_JOB: Final = Statement(f"select {_TASK} from tasks t where t.job = :job order by t.node $lock", out=TASK_NAMES)
_OF_JOB_NODES: Final = Statement(
    f"select {_TASK} from tasks t where t.job = :job and t.node in $in(nodes) order by t.node $lock", out=TASK_NAMES
)
_HELD: Final = Statement(
    f"""
    select {_TASK} from tasks t where t.job = :job and t.state = 'queued' and t.due_at is null
    order by t.node limit :count $lock
    """,
    out=TASK_NAMES,
)
_NODE_KEYS: Final = Statement(
    "select t.job, t.node from tasks t where t.node = :node and t.finished_at is null", out=_KEY
)
_EXPIRED_KEYS: Final = Statement(
    "select job, node from tasks where state = 'queued' and not_after <= :before order by not_after limit :limit",
    out=_KEY,
)
_LOST_KEYS: Final = Statement(
    """
    select t.job, t.node from nodes n cross join tasks t
    where t.node = n.id and n.presence <> 'online' and coalesce(n.last_seen, n.enrolled_at) < :before
      and t.finished_at is null and t.state <> 'queued' limit :limit
    """,
    out=_KEY,
)
_DUE: Final = Statement(
    f"""
    select {OWED_SELECT} from tasks t where t.due_at <= :now and (t.cancel_asked or t.not_after > :now)
    order by t.due_at limit :limit $skip
    """,
    out=OWED_NAMES,
)
_MARK_DUE: Final = Statement(
    """
    update tasks set due_at = v.due_at, published = v.published from $rows
    where tasks.job = v.job and tasks.node = v.node
    """,
    {**_KEYS, "due_at": "double precision", "published": "integer"},
)
_SAVED: Final = [name for name in TASK_COLUMNS if name not in _KEYS]
_SAVE_TASKS: Final = Statement(
    f"""
    update tasks set {", ".join(f"{name} = v.{name}" for name in _SAVED)} from $rows
    where tasks.job = v.job and tasks.node = v.node
      and tasks.attempt = v.was_attempt and tasks.seq = v.was_seq and tasks.state = v.was_state
    """,
    {**TASK_COLUMNS, "was_attempt": "integer", "was_seq": "bigint", "was_state": "text"},
)
_SAVE_JOBS: Final = Statement(
    """
    update jobs set state = v.state, counts = v.counts, held = v.held, cancel_asked = v.cancel_asked,
                    expires_at = v.expires_at, finished_at = v.finished_at, awaiting = v.awaiting,
                    resource_version = resource_version + 1
    from $rows where jobs.id = v.id
    """,
    {
        "id": "text",
        "state": "text",
        "counts": "text",
        "held": "integer",
        "cancel_asked": "boolean",
        "expires_at": "double precision",
        "finished_at": "double precision",
        "awaiting": "boolean",
    },
)
_ADD_APPROVAL: Final = Statement(
    f"insert into approvals ({', '.join(APPROVAL_COLUMNS)}) values ({', '.join(f':{c}' for c in APPROVAL_COLUMNS)})"
)
_APPROVAL: Final = Statement(f"select {APPROVAL_SELECT} from approvals t where t.id = :id $lock")
_DECIDE: Final = Statement(
    """
    update approvals set state = :state, decided_by = :decided_by, decided_at = :decided_at, note = :note where id = :id
    """
)
_ADD_ATTEMPTS: Final = Statement(
    """
    insert into task_attempts (job, node, attempt, outcome) select v.job, v.node, v.attempt, v.outcome from $rows
    where v.job is not null on conflict (job, node, attempt) do nothing
    """,
    {"job": "text", "node": "text", "attempt": "integer", "outcome": "text"},
)
_ATTEMPT: Final = Statement(
    "select outcome from task_attempts where job = :job and node = :node and attempt = :attempt"
)
_SAVE_ATTEMPT: Final = Statement(
    "update task_attempts set outcome = :outcome where job = :job and node = :node and attempt = :attempt"
)
_SPECS: Final = Statement("select id, kind, spec from jobs where id in $in(ids)")
_WHOLE: Final = Statement(f"select {JOB_SELECT} from jobs where id in $in(ids) order by id")


class SqlJobTx:
    """JobTx over an open write transaction."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx

    async def holds(self, fence: Fence) -> bool:
        """The rollout's row stays locked to the end of the transaction."""
        found = await self._tx.row(_FENCE, rollout=fence.rollout, version=fence.version, token=fence.token)
        return found is not None

    async def approval(self, id_: str) -> Approval | None:
        """Locked to the end of the transaction; after the job, as everything is."""
        row = await self._tx.row(_APPROVAL, id=clean(id_))
        return None if row is None else to_approval(row)

    async def save_approval(self, approval: Approval) -> None:
        values = approval_values(approval)
        wanted = ("id", "state", "decided_by", "decided_at", "note")
        await self._tx.run(_DECIDE, **{name: values[name] for name in wanted})

    async def insert(
        self,
        job: Job,
        tasks: Sequence[TaskRow],
        *,
        held: int,
        operation: str | None,
        approval: Approval | None = None,
    ) -> Job | None:
        inserted = await self._tx.run(
            _INSERT_JOB,
            id=job.id,
            name=clean(job.name),
            kind=job.kind,
            target=clean(job.target),
            spec=spec_text(job.spec),
            state=job.state.value,
            counts=counts_text(job.counts),
            nodes=job.nodes,
            pinned=job.pinned,
            created_at=stamp(job.created_at),
            created_by=clean(job.created_by)[:128],
            expires_at=stamp(job.expires_at),
            window=(job.expires_at - job.created_at).total_seconds(),
            finished_at=stamp(job.finished_at),
            concurrency=job.concurrency,
            offline=job.offline.value,
            retries=job.retries,
            cancel_asked=job.cancel_asked,
            held=held,
            awaiting=approval is not None,
            operation=operation,
        )
        if not inserted:
            first = await self._tx.row(_BY_OPERATION, operation=operation)
            return None if first is None else to_job(first)
        if approval is not None:
            await self._tx.run(_ADD_APPROVAL, **approval_values(approval))
        await self._hold_revision(job.spec)
        if tasks:
            await self._tx.run(
                _INSERT_TASKS,
                [(row.node, row.state.value, row.reason, row.finished_at, row.due_at, row.published) for row in tasks],
                job=job.id,
                queued_at=stamp(job.created_at),
                not_after=stamp(job.expires_at),
            )
        return None

    async def _hold_revision(self, spec: TaskSpec) -> None:
        """What a file job ships is still there, and stays until the job is committed. Raises Conflict: cleared meanwhile."""
        if shipped := ships(spec):
            source_path, revision = shipped
            if await self._tx.row(_HOLD_REVISION, source_path=source_path, revision=revision) is None:
                raise cleared_meanwhile(source_path, revision)

    async def jobs(self, ids: Collection[str]) -> dict[str, JobRow]:
        rows = await self._tx.rows(_LOCK_JOBS, ids=as_set(ids))
        return {row[0]: job_row(row) for row in rows}

    async def tasks(self, keys: Collection[Key]) -> list[TaskRow]:
        return [task_row(row) for row in await self._tx.rows(_LOCK_TASKS, list(keys))]

    async def of_job(self, job: str, nodes: Sequence[str] | None) -> list[TaskRow]:
        if nodes is None:
            rows = await self._tx.rows(_OF_JOB, job=job)
        else:
            rows = await self._tx.rows(_OF_JOB_NODES, job=job, nodes=as_set(nodes))
        return [task_row(row) for row in rows]

    async def held(self, job: str, count: int) -> list[TaskRow]:
        return [task_row(row) for row in await self._tx.rows(_HELD, job=job, count=count)]

    async def node_keys(self, node: str) -> list[Key]:
        return [(row[0], row[1]) for row in await self._tx.rows(_NODE_KEYS, node=node)]

    async def overdue_keys(self, queued_before: float, lost_before: float, limit: int) -> list[Key]:
        expired = await self._tx.rows(_EXPIRED_KEYS, before=queued_before, limit=limit)
        lost = await self._tx.rows(_LOST_KEYS, before=lost_before, limit=limit)
        return [(row[0], row[1]) for row in (*expired, *lost)]

    async def due(self, now: float, limit: int) -> Sequence[TaskRow | Owed]:
        """Marks them as published once more and due again, each after its own jittered delay."""
        rows = [Owed(*row) for row in await self._tx.rows(_DUE, now=now, limit=limit)]
        marks = [
            (row.job, row.node, now + redeliver_delay(row.published, place), row.published + 1)
            for place, row in enumerate(rows)
        ]
        await self._tx.run(_MARK_DUE, marks)
        return [row._replace(published=row.published + 1) for row in rows]

    async def save(self, ledger: Ledger) -> None:
        """Write what changed since the last save, then forget that it was new."""
        if ledger.ended_attempts:
            ended = [(row.job, row.node, row.attempt, attempt_text(row)) for row in ledger.ended_attempts]
            await self._tx.run(_ADD_ATTEMPTS, ended)
        if ledger.before:
            rows = [(*task_values(ledger.changed[key]), *was) for key, was in ledger.before.items()]
            touched = await self._tx.run(_SAVE_TASKS, rows)
            if touched != len(rows):
                raise Internal(f"cannot save {len(rows)} tasks: {touched} were as they had been read")
        if ledger.dirty:
            await self._tx.run(_SAVE_JOBS, [_job_values(ledger.jobs[id_]) for id_ in sorted(ledger.dirty)])
        for node, said in ledger.bygone:
            await self._keep_bygone(node, said, ledger.now)

    async def _keep_bygone(self, node: str, said: Outcome, now: float) -> None:
        """Rare, so a statement each does no harm."""
        key: dict[str, Any] = {"job": said.job, "node": node, "attempt": clean_count(said.attempt)}
        found = await self._tx.row(_ATTEMPT, **key)
        row = None if found is None else attempt_row(found[0])
        if row is not None and keep_bygone(row, said, now):
            await self._tx.run(_SAVE_ATTEMPT, outcome=attempt_text(row), **key)

    async def place(self, placements: Sequence[Placement]) -> None:
        await save_placements(self._tx, placements)

    async def specs(self, ids: Collection[str]) -> dict[str, tuple[str, TaskSpec]]:
        rows = await self._tx.rows(_SPECS, ids=as_set(ids))
        return {row[0]: (row[1], spec_of(row[1], row[2])) for row in rows}

    async def whole(self, ids: Collection[str]) -> list[Job]:
        return [to_job(row) for row in await self._tx.rows(_WHOLE, ids=as_set(ids))]


def _job_values(job: JobRow) -> tuple[object, ...]:
    return (
        job.id,
        job.state.value,
        counts_text(job.counts),
        job.held,
        job.cancel_asked,
        job.expires_at,
        job.finished_at,
        job.awaiting,
    )
