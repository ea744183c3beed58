"""What the presence of nodes was. Written in batches by the lease holder, deleted with the node or when it is old."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from corral.domain.node import Presence
from corral.domain.presence_log import PresenceChange
from corral.server.application.ports.nodes import PresencePage
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.statements import Statement
from corral.server.infrastructure.sql.values import at, clean, decode_cursor, encode_cursor, seconds

PAGE_MAX: Final = 1000
_ADD: Final = Statement(
    """
    insert into presence_changes (node, at, presence, worker_down, reason)
    select v.node, v.at, v.presence, v.worker_down, v.reason from $rows join nodes n on n.id = v.node
    """,
    {"node": "text", "at": "double precision", "presence": "text", "worker_down": "boolean", "reason": "text"},
)
_READ: Final = Statement(
    """
    select t.id, t.at, t.presence, t.worker_down, t.reason from presence_changes t
    where t.node = :node and (t.at < :at or (t.at = :at and t.id < :id))
    order by t.at desc, t.id desc limit :limit
    """,
    out=("id", "at", "presence", "worker_down", "reason"),
)
FORGET: Final = Statement("delete from presence_changes where node = :id")
"""For the transaction that removes the node: its name may come back as another machine."""
_END: Final = (4e9, 2**31 - 1)
"""Later than any change: the year 2096."""


class SqlPresenceLog:
    """PresenceLog over SQLite or PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, changes: Sequence[PresenceChange]) -> None:
        """Those of nodes that are gone meanwhile are passed over."""
        rows = [(c.node, seconds(c.at), c.presence.value, c.worker_down, clean(c.reason)) for c in changes]
        async with self._db.write() as tx:
            await tx.run(_ADD, rows)

    async def read(self, node: str, *, limit: int, cursor: str | None = None) -> PresencePage:
        start = since_cursor(cursor)
        limit = max(1, min(limit, PAGE_MAX))
        before, id_ = start or _END
        async with self._db.read() as tx:
            rows = await tx.rows(_READ, node=clean(node), at=before, id=id_, limit=limit + 1)
        items = [
            PresenceChange(node=node, at=at(row[1]), presence=Presence(row[2]), worker_down=bool(row[3]), reason=row[4])
            for row in rows[:limit]
        ]
        last = rows[limit - 1] if len(rows) > limit else None
        return PresencePage(
            items=items,
            until=None if start is None else at(before),
            next=None if last is None else encode_cursor(last[1], last[0]),
        )


def since_cursor(cursor: str | None) -> tuple[float, int] | None:
    """When, and the id: inside what a row can hold, whoever made the cursor. Raises Invalid."""
    parts = decode_cursor(cursor, float, int)
    if parts is None:
        return None
    before, id_ = parts
    return (before if 0 <= before <= _END[0] else 0.0), max(0, min(id_, _END[1]))
