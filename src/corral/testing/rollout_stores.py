"""RolloutStore and StageJobs in memory; the contract tests of the SQL stores hold them to the same behaviour."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from corral.domain.rollout import needs_attention
from corral.domain.rollout_facts import TaskFact
from corral.domain.rollout_state import Rollout, RolloutState
from corral.server.application.ports.rollouts import Change, Changes, RolloutPage, StageJob
from corral.server.infrastructure.sql.rollouts import PAGE_MAX, changed, missing, task_fact
from corral.server.infrastructure.sql.values import decode_cursor, encode_cursor
from corral.testing.job_stores import MemoryDatabase, StoredRollout


class MemoryRolloutStore:
    """RolloutStore in memory."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def add(self, rollout: Rollout, changes: Changes, *, operation: str | None) -> Rollout:
        for stored in self._db.rollouts.values():
            if operation is not None and stored.operation == operation:
                return stored.rollout
        self._db.rollouts[rollout.id] = StoredRollout(rollout, changes, operation)
        return rollout

    def _stored(self, rollout: str) -> StoredRollout:
        found = self._db.rollouts.get(rollout)
        if found is None:
            raise missing(rollout)
        return found

    async def get(self, rollout: str) -> Rollout:
        return self._stored(rollout).rollout

    async def changes(self, rollout: str) -> Changes:
        return self._stored(rollout).changes

    async def save(self, rollout: Rollout, *, token: int | None = None, back: Change | None = None) -> Rollout:
        stored = self._db.rollouts.get(rollout.id)
        lease = self._db.leases.get("leader")
        fenced = token is not None and (lease is None or lease[2] != token)
        if stored is None or fenced or stored.rollout.resource_version != rollout.resource_version:
            raise changed(rollout.id)
        stored.rollout = replace(rollout, resource_version=rollout.resource_version + 1)
        if back is not None:
            stored.changes = replace(stored.changes, back=back)
        return stored.rollout

    async def attention(self) -> Mapping[str, int]:
        return {
            id_: stored.rollout.resource_version
            for id_, stored in sorted(self._db.rollouts.items())
            if needs_attention(stored.rollout)
        }

    async def list(
        self, *, states: Sequence[RolloutState] = (), limit: int = 50, cursor: str | None = None
    ) -> RolloutPage:
        limit = max(1, min(limit, PAGE_MAX))
        start = decode_cursor(cursor, str)
        found = [
            stored.rollout
            for id_, stored in sorted(self._db.rollouts.items(), reverse=True)
            if (start is None or id_ < start[0]) and (not states or stored.rollout.state in states)
        ]
        more = len(found) > limit
        return RolloutPage(items=found[:limit], next=encode_cursor(found[limit - 1].id) if more else None)

    async def last_named(self, name: str) -> Rollout | None:
        found = [stored.rollout for stored in self._db.rollouts.values() if stored.rollout.name == name]
        return max(found, key=lambda rollout: rollout.id, default=None)


class MemoryStageJobs:
    """StageJobs in memory."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def named(self, operations: Collection[str]) -> Mapping[str, StageJob]:
        jobs = {name: self._db.job(self._db.operations[name]) for name in operations if name in self._db.operations}
        return {
            name: StageJob(
                id=job.id,
                created_at=job.created_at,
                resource_version=job.resource_version,
                counts={state.value: count for state, count in job.counts.items() if count},
                awaiting=self._db.job_rows[job.id].awaiting,
                approved_at=max(
                    (a.decided_at for a in self._db.approvals.values() if a.job == job.id and a.decided_at is not None),
                    default=None,
                ),
            )
            for name, job in jobs.items()
        }

    async def tasks(self, job: str) -> Mapping[str, TaskFact]:
        return {
            row.node: task_fact(
                row.state.value,
                row.started_at is not None or row.late != "{}" or row.attempt > 1,
                row.cancel_asked,
                row.result,
                [old.result for (of, node, _), old in self._db.attempts.items() if (of, node) == (job, row.node)],
            )
            for row in self._db.tasks.values()
            if row.job == job
        }
