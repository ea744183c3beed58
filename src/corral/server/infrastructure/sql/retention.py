"""What is deleted when it is old, in small batches so that nobody waits for the writer. Called by the lease holder.

The audit record goes another way (sql/audit_chain.py): what is left of it must still be proved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.statements import Statement, as_set
from corral.server.infrastructure.sql.values import at, seconds

_OLD_JOBS: Final = Statement(
    "select t.id, t.nodes from jobs t where t.finished_at < :before order by t.finished_at limit :limit $skip",
    out=("id", "nodes"),
)
_DELETE_TASKS: Final = Statement("delete from tasks where job in $in(jobs)")
_DELETE_ATTEMPTS: Final = Statement("delete from task_attempts where job in $in(jobs)")
_DELETE_JOBS: Final = Statement("delete from jobs where id in $in(jobs)")
_BATCHED: Final = {
    table: Statement(
        f"delete from {table} where {key} in (select {key} from {table} where {column} < :before limit :limit)"
    )
    for table, key, column in (
        ("dead_letters", "id", "at"),
        ("join_tokens", "id", "expires_at"),
        ("presence_changes", "id", "at"),
    )
}


_OLDEST: Final = {
    "jobs": Statement("select min(finished_at) from jobs"),
    "audit": Statement("select min(at) from audit"),
}


class SqlRetention:
    """Each method deletes one batch; call it again until it says there was nothing."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def jobs(self, *, finished_before: datetime, tasks_limit: int = 5000) -> Sequence[str]:
        """Delete some jobs that ended before that moment, oldest first; their ids, so that their output can go too."""
        async with self._db.write() as tx:
            found = await tx.rows(_OLD_JOBS, before=seconds(finished_before), limit=200)
            chosen: list[str] = []
            total = 0
            for job, nodes in found:
                if chosen and total + nodes > tasks_limit:
                    break
                chosen.append(job)
                total += nodes
            if chosen:
                ids = as_set(chosen)
                await tx.run(_DELETE_TASKS, jobs=ids)
                await tx.run(_DELETE_ATTEMPTS, jobs=ids)
                await tx.run(_DELETE_JOBS, jobs=ids)
        return chosen

    async def oldest(self) -> Mapping[str, datetime | None]:
        """The oldest ended job and the oldest audit entry: what goes next."""
        async with self._db.read() as tx:
            found = {kind: await tx.row(statement) for kind, statement in _OLDEST.items()}
        return {kind: None if row is None or row[0] is None else at(row[0]) for kind, row in found.items()}

    async def dead_letters(self, *, before: datetime, limit: int = 2000) -> int:
        return await self._delete(_BATCHED["dead_letters"], before, limit)

    async def join_tokens(self, *, expired_before: datetime, limit: int = 2000) -> int:
        return await self._delete(_BATCHED["join_tokens"], expired_before, limit)

    async def presence(self, *, before: datetime, limit: int = 5000) -> int:
        return await self._delete(_BATCHED["presence_changes"], before, limit)

    async def _delete(self, statement: Statement, before: datetime, limit: int) -> int:
        async with self._db.write() as tx:
            return await tx.run(statement, before=seconds(before), limit=limit)
