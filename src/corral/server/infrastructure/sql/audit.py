"""The audit log (ports/access.py AuditLog): rows are only ever added, and removed by retention alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from corral.server.application.ports.access import AuditEntry
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.statements import Statement
from corral.server.infrastructure.sql.values import at, clean, dumps, loads, seconds

_COLUMNS: Final = (
    "id",
    "at",
    "actor",
    "address",
    "action",
    "target",
    "outcome",
    "status",
    "request_id",
    "duration_ms",
    "details",
)
_SELECT: Final = ", ".join(_COLUMNS)
_ADD: Final = Statement(
    """
    insert into audit (at, actor, address, action, target, outcome, status, request_id, duration_ms, details)
    select v.at, v.actor, v.address, v.action, v.target, v.outcome, v.status, v.request_id, v.duration_ms, v.details
    from $rows where v.at is not null
    """,
    {
        "at": "double precision",
        "actor": "text",
        "address": "text",
        "action": "text",
        "target": "text",
        "outcome": "text",
        "status": "integer",
        "request_id": "text",
        "duration_ms": "integer",
        "details": "text",
    },
)
_LIST: Final = Statement(f"select {_SELECT} from audit order by id desc limit :limit", out=_COLUMNS)
_BEFORE: Final = Statement(
    f"select {_SELECT} from audit where id < :before order by id desc limit :limit", out=_COLUMNS
)
_PAGE_MAX: Final = 1000


class SqlAuditLog:
    """AuditLog over SQLite or PostgreSQL. Newest first; ids grow and page."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, entry: AuditEntry) -> None:
        await self.add_many([entry])

    async def add_many(self, entries: Sequence[AuditEntry]) -> None:
        """Texts a client chose are cut to what a column holds: a long header must not keep a request out of the log."""
        if entries:
            async with self._db.write() as tx:
                await tx.run(_ADD, [_values(entry) for entry in entries])

    async def list(self, *, limit: int = 50, before: int | None = None) -> Sequence[tuple[int, AuditEntry]]:
        limit = max(1, min(limit, _PAGE_MAX))
        async with self._db.read() as tx:
            if before is None:
                rows = await tx.rows(_LIST, limit=limit)
            else:
                rows = await tx.rows(_BEFORE, limit=limit, before=max(0, min(before, 2**31 - 1)))
        return [_to_entry(row) for row in rows]


def _values(entry: AuditEntry) -> tuple[Any, ...]:
    return (
        seconds(entry.at),
        clean(entry.actor)[:128],
        clean(entry.address)[:64],
        clean(entry.action)[:64],
        clean(entry.target)[:4096],
        clean(entry.outcome)[:32],
        entry.status,
        clean(entry.request_id)[:64],
        max(0, min(entry.duration_ms, 2**31 - 1)),
        dumps(entry.details),
    )


def _to_entry(row: Sequence[Any]) -> tuple[int, AuditEntry]:
    id_, when, actor, address, action, target, outcome, status, request_id, duration_ms, details = row
    return id_, AuditEntry(
        at=at(when),
        actor=actor,
        address=address,
        action=action,
        target=target,
        outcome=outcome,
        status=status,
        request_id=request_id,
        duration_ms=duration_ms,
        details=loads(details),
    )
