"""Answers kept under the caller's Idempotency-Key, so that a repeated POST is answered and not done again (ports/access.py)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from corral.server.application.ports.access import StoredAnswer
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.statements import Statement
from corral.server.infrastructure.sql.values import at, clean, seconds

_GET: Final = Statement('select request_hash, status, body, at from idempotency where "key" = :key and actor = :actor')
_PUT: Final = Statement(
    """
    insert into idempotency ("key", actor, request_hash, status, body, at)
    values (:key, :actor, :request_hash, :status, :body, :at)
    on conflict ("key", actor) do nothing
    """
)
_DROP: Final = Statement("delete from idempotency where at < :before")


class SqlIdempotencyStore:
    """IdempotencyStore over SQLite or PostgreSQL. Keys and actors longer than 128 characters share what their first 128 hold:
    the edge refuses such keys before they come here."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def get(self, key: str, actor: str) -> StoredAnswer | None:
        async with self._db.read() as tx:
            row = await tx.row(_GET, key=clean(key)[:128], actor=clean(actor)[:128])
        if row is None:
            return None
        return StoredAnswer(request_hash=row[0], status=row[1], body=bytes(row[2]), at=at(row[3]))

    async def put(self, key: str, actor: str, answer: StoredAnswer) -> None:
        async with self._db.write() as tx:
            await tx.run(
                _PUT,
                key=clean(key)[:128],
                actor=clean(actor)[:128],
                request_hash=answer.request_hash,
                status=answer.status,
                body=answer.body,
                at=seconds(answer.at),
            )

    async def drop_before(self, moment: datetime) -> int:
        async with self._db.write() as tx:
            return await tx.run(_DROP, before=seconds(moment))
