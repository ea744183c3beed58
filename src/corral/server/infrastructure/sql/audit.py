"""The audit log (ports/access.py AuditLog): rows are only ever added, and removed by retention alone.

On PostgreSQL writers take turns for the moment of their insert (an advisory lock until the commit): ids then appear in the order
of commits, so a row with a lower id than a sealed one cannot come late, and whoever finds one knows that it was put there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from corral.domain.errors import NotFound
from corral.server.application.ports.access import NO_FILTER, AuditEntry, AuditFilter
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.statements import Statement
from corral.server.infrastructure.sql.values import at, clean, dumps, loads, seconds, stamp

AUDIT_COLUMNS: Final = (
    "id",
    "at",
    "actor",
    "address",
    "action",
    "target",
    "outcome",
    "status",
    "request_id",
    "credential",
    "job",
    "duration_ms",
    "details",
)
_SELECT: Final = ", ".join(AUDIT_COLUMNS)
_TURN: Final = Statement("select pg_advisory_xact_lock(7205759403792)")
_ADD: Final = Statement(
    """
    insert into audit (at, actor, address, action, target, outcome, status, request_id, credential, job, duration_ms,
                       details)
    select v.at, v.actor, v.address, v.action, v.target, v.outcome, v.status, v.request_id, v.credential, v.job,
           v.duration_ms, v.details
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
        "credential": "text",
        "job": "text",
        "duration_ms": "integer",
        "details": "text",
    },
)
_CLAUSES: Final = {
    "actor": "actor = :actor",
    "action": "strpos(lower(action), lower(:action)) > 0",
    "outcome": "outcome = :outcome",
    "since": "at >= :since",
    "until": "at < :until",
    "node": """(strpos(target || '/', '/nodes/' || :node || '/') > 0
                or exists (select 1 from tasks k where k.job = audit.job and k.node = :node))""",
    "job": "job = :job",
}
_GET: Final = Statement(f"select {_SELECT} from audit where id = :id")
_PAGE_MAX: Final = 1000
_LAST_ID: Final = 2**31 - 1
_lists: Final[dict[tuple[str, tuple[str, ...]], Statement]] = {}


def _list(dialect: str, names: tuple[str, ...]) -> Statement:
    """Of constants only; which clauses are in it is all that differs."""
    key = (dialect, names)
    if key not in _lists:
        where = " and ".join(["id < :before", *(_CLAUSES[name] for name in names)])
        if dialect == "sqlite":
            where = where.replace("strpos(", "instr(")
        _lists[key] = Statement(
            f"select {_SELECT} from audit where {where} order by id desc limit :limit", out=AUDIT_COLUMNS
        )
    return _lists[key]


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
                if tx.dialect == "postgresql":
                    await tx.row(_TURN)
                await tx.run(_ADD, [_values(entry) for entry in entries])

    async def list(
        self, *, limit: int = 50, before: int | None = None, only: AuditFilter = NO_FILTER
    ) -> Sequence[tuple[int, AuditEntry]]:
        limit = max(1, min(limit, _PAGE_MAX))
        given: dict[str, Any] = {
            "actor": only.actor,
            "action": only.action,
            "outcome": only.outcome,
            "since": stamp(only.since),
            "until": stamp(only.until),
            "node": only.node,
            "job": only.job,
        }
        given = {name: clean(v) if isinstance(v, str) else v for name, v in given.items() if v is not None}
        before = _LAST_ID if before is None else max(0, min(before, _LAST_ID))
        statement = _list(self._db.dialect, tuple(given))
        async with self._db.read() as tx:
            rows = await tx.rows(statement, limit=limit, before=before, **given)
        return sorted((_to_entry(row) for row in rows), key=lambda found: -found[0])

    async def get(self, entry: int) -> AuditEntry:
        async with self._db.read() as tx:
            row = await tx.row(_GET, id=max(0, min(entry, _LAST_ID)))
        if row is None:
            raise NotFound(f"cannot find audit entry {entry}", element="entry", hint="corral audit list")
        return _to_entry(row)[1]


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
        clean(entry.credential)[:64],
        clean(entry.job)[:20],
        max(0, min(entry.duration_ms, 2**31 - 1)),
        dumps(entry.details),
    )


def _to_entry(row: Sequence[Any]) -> tuple[int, AuditEntry]:
    id_, when, actor, address, action, target, outcome, status, request_id, credential, job, duration_ms, details = row
    return id_, AuditEntry(
        at=at(when),
        actor=actor,
        address=address,
        action=action,
        target=target,
        outcome=outcome,
        status=status,
        request_id=request_id,
        credential=credential,
        job=job,
        duration_ms=duration_ms,
        details=loads(details),
    )
