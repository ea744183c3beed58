"""The truth about rollouts (ports/rollouts.py), and what their jobs are doing, by the names these were submitted under.

Two kinds of writers meet here, people and the driver; each writes only over the version it has read. The driver's writes also name
the fencing token of the leader's lease, checked in the same statement: a leader that was replaced writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from corral.domain.errors import Conflict, NotFound
from corral.domain.rollout_facts import TaskFact
from corral.domain.rollout_state import Rollout, RolloutState
from corral.domain.task import TaskState
from corral.server.application.ports.files import Key
from corral.server.application.ports.rollouts import Change, Changes, RolloutPage, StageJob
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.files import uses_of
from corral.server.infrastructure.sql.job_rows import attempt_row
from corral.server.infrastructure.sql.rollout_rows import (
    COLUMNS,
    SELECT,
    changes_text,
    fixed_values,
    moving_values,
    to_changes,
    to_rollout,
)
from corral.server.infrastructure.sql.statements import Statement, as_set
from corral.server.infrastructure.sql.values import at, clean, decode_cursor, encode_cursor, moment

PAGE_MAX: Final = 500
_INSERT: Final = Statement(
    """
    insert into rollouts (id, name, target, kind, line, strategy, settings, stages, pinned, previous, created_at, created_by,
                          state, attention, hold, reason, approved, back, rollback_asked_at, finished_at, changes, operation)
    values (:id, :name, :target, :kind, :line, :strategy, :settings, :stages, :pinned, :previous, :created_at, :created_by,
            :state, :attention, :hold, :reason, :approved, :back, :rollback_asked_at, :finished_at, :changes, :operation)
    on conflict (operation) do nothing
    """
)
_BY_OPERATION: Final = Statement(f"select {SELECT} from rollouts where operation = :operation")
_GET: Final = Statement(f"select {SELECT} from rollouts where id = :id")
_CHANGES: Final = Statement("select changes from rollouts where id = :id")
_SAVE: Final = Statement(
    """
    update rollouts set settings = :settings, stages = :stages, state = :state, attention = :attention, hold = :hold,
        reason = :reason, approved = :approved, back = :back, rollback_asked_at = :rollback_asked_at,
        finished_at = :finished_at, resource_version = resource_version + 1
    where id = :id and resource_version = :version
      and (:token < 0 or exists (select 1 from leases where name = 'leader' and token = :token))
    """
)
_SET_CHANGES: Final = Statement("update rollouts set changes = :changes where id = :id")
_ATTENTION: Final = Statement("select id, resource_version from rollouts where attention order by id")
_LIST: Final = Statement(f"select {SELECT} from rollouts where id < :after order by id desc limit :limit", out=COLUMNS)
_LIST_STATES: Final = Statement(
    f"select {SELECT} from rollouts where id < :after and state in $in(states) order by id desc limit :limit",
    out=COLUMNS,
)
_LAST_NAMED: Final = Statement(f"select {SELECT} from rollouts where name = :name order by id desc limit 1")
_JOBS: Final = Statement(
    """
    select j.operation, j.id, j.created_at, j.resource_version, j.counts, j.awaiting,
           (select max(a.decided_at) from approvals a where a.job = j.id and a.state = 'approved')
    from jobs j where j.operation in $in(operations)
    """
)
_OPEN_FILE_ROLLOUTS: Final = Statement("select id, changes from rollouts where attention and kind = 'file'")
_TASK_COLUMNS: Final = ("node", "state", "started", "cancel_asked", "result", "attempt")
_TASKS: Final = Statement(
    """
    select t.node as node, t.state as state,
           case when t.started_at is not null or t.late <> '{}' or t.attempt > 1 then 1 else 0 end as started,
           case when t.cancel_asked then 1 else 0 end as cancel_asked, t.result as result,
           t.attempt as attempt
    from tasks t where t.job = :job
    """,
    out=_TASK_COLUMNS,
)
_ATTEMPTS: Final = Statement("select node, outcome from task_attempts where job = :job order by node, attempt")
_STATES: Final = {state.value: state for state in TaskState}


class SqlRolloutStore:
    """RolloutStore over SQLite or PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, rollout: Rollout, changes: Changes, *, operation: str | None) -> Rollout:
        values = {**fixed_values(rollout), **moving_values(rollout)}
        async with self._db.write() as tx:
            added = await tx.run(_INSERT, **values, changes=changes_text(changes), operation=operation)
            row = None if added else await tx.row(_BY_OPERATION, operation=operation)
        return rollout if row is None else to_rollout(row)

    async def get(self, rollout: str) -> Rollout:
        async with self._db.read() as tx:
            row = await tx.row(_GET, id=clean(rollout))
        if row is None:
            raise missing(rollout)
        return to_rollout(row)

    async def changes(self, rollout: str) -> Changes:
        async with self._db.read() as tx:
            row = await tx.row(_CHANGES, id=clean(rollout))
        if row is None:
            raise missing(rollout)
        return to_changes(row[0])

    async def save(self, rollout: Rollout, *, token: int | None = None, back: Change | None = None) -> Rollout:
        fence = -1 if token is None else token
        async with self._db.write() as tx:
            values = moving_values(rollout)
            if not await tx.run(_SAVE, **values, version=rollout.resource_version, token=fence):
                raise changed(rollout.id)
            if back is not None:
                row = await tx.row(_CHANGES, id=rollout.id)
                assert row is not None
                text = changes_text(replace(to_changes(row[0]), back=back))
                await tx.run(_SET_CHANGES, id=rollout.id, changes=text)
        return replace(rollout, resource_version=rollout.resource_version + 1)

    async def attention(self) -> Mapping[str, int]:
        async with self._db.read() as tx:
            return {row[0]: row[1] for row in await tx.rows(_ATTENTION)}

    async def list(
        self, *, states: Sequence[RolloutState] = (), limit: int = 50, cursor: str | None = None
    ) -> RolloutPage:
        limit = max(1, min(limit, PAGE_MAX))
        start = decode_cursor(cursor, str)
        # "~" sorts after every id.
        values: dict[str, Any] = {"after": start[0] if start else "~", "limit": limit + 1}
        async with self._db.read() as tx:
            if states:
                rows = await tx.rows(_LIST_STATES, states=as_set(state.value for state in states), **values)
            else:
                rows = await tx.rows(_LIST, **values)
        found = [to_rollout(row) for row in rows[:limit]]
        return RolloutPage(items=found, next=encode_cursor(found[-1].id) if len(rows) > limit else None)

    async def last_named(self, name: str) -> Rollout | None:
        async with self._db.read() as tx:
            row = await tx.row(_LAST_NAMED, name=clean(name))
        return None if row is None else to_rollout(row)


class SqlStageJobs:
    """StageJobs over SQLite or PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def named(self, operations: Collection[str]) -> Mapping[str, StageJob]:
        if not operations:
            return {}
        async with self._db.read() as tx:
            rows = await tx.rows(_JOBS, operations=as_set(operations))
        return {
            row[0]: StageJob(
                id=row[1],
                created_at=at(row[2]),
                resource_version=row[3],
                counts=json.loads(row[4]),
                awaiting=bool(row[5]),
                approved_at=moment(row[6]),
            )
            for row in rows
        }

    async def tasks(self, job: str) -> Mapping[str, TaskFact]:
        async with self._db.read() as tx:
            rows = await tx.rows(_TASKS, job=clean(job))
            again = any(row[5] > 1 for row in rows)
            earlier = await tx.rows(_ATTEMPTS, job=clean(job)) if again else []
        results: dict[str, list[str]] = {}
        for node, outcome in earlier:
            results.setdefault(node, []).append(attempt_row(outcome).result)
        return {
            node: task_fact(state, started, cancel_asked, result, results.get(node, ()))
            for node, state, started, cancel_asked, result, _ in rows
        }


class SqlRolloutUsage:
    """Usage of artifact revisions by rollouts that are not over (ports/files.py)."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def in_use(self) -> Mapping[Key, str]:
        async with self._db.read() as tx:
            rows = await tx.rows(_OPEN_FILE_ROLLOUTS)
        return uses_of((row[0], json.loads(row[1])["forward"]["spec"]) for row in rows)


def task_fact(state: str, started: int, cancel_asked: int, result: str, earlier: Iterable[str] = ()) -> TaskFact:
    """`earlier`: the results of its attempts before: what one of them changed, the last one finds as it should be."""
    changed = _changed(result)
    if any(_changed(each) for each in earlier):
        changed = True
    return TaskFact(state=_STATES[state], started=bool(started), cancel_asked=bool(cancel_asked), changed=changed)


def _changed(result: str) -> bool | None:
    changed = json.loads(result).get("changed") if result != "{}" else None
    return changed if isinstance(changed, bool) else None


def missing(rollout: str) -> NotFound:
    return NotFound(f"cannot find rollout {rollout!r}", element="rollout", hint="corral rollout list")


def changed(rollout: str) -> Conflict:
    return Conflict(
        f"cannot change rollout {rollout!r}: it changed meanwhile",
        element="rollout",
        hint="look at it again: corral rollout status " + rollout,
        retryable=True,
    )
