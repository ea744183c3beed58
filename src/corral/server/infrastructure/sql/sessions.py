"""Logins of people (ports/access.py SessionStore). Of two refreshes with the same counter, exactly one succeeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from corral.server.application.ports.access import Session
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.statements import Statement
from corral.server.infrastructure.sql.values import at, clean, dumps_list, moment, seconds, stamp

_COLUMNS: Final = (
    "id, name, permissions, source, counter, created_at, rotated_at, expires_at, revoked, "
    '"user", user_version, method, address'
)
_ADD: Final = Statement(
    f"""
    insert into sessions ({_COLUMNS})
    values (:id, :name, :permissions, :source, :counter, :created_at, :rotated_at, :expires_at, :revoked,
            :user, :user_version, :method, :address)
    """
)
_GET: Final = Statement(f"select {_COLUMNS} from sessions where id = :id")
_ROTATE: Final = Statement(
    """
    update sessions set counter = counter + 1, rotated_at = :now
    where id = :id and counter = :counter and not revoked
    """
)
_REVOKE: Final = Statement("update sessions set revoked = true where id = :id")
_LIST: Final = Statement(
    f"""
    select {_COLUMNS} from sessions
    where not revoked and expires_at > :now and (:everybody = 1 or "user" = :user)
    order by created_at desc, id desc limit :limit
    """
)
_DROP: Final = Statement("delete from sessions where expires_at <= :now")


class SqlSessionStore:
    """SessionStore over SQLite or PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, session: Session) -> None:
        async with self._db.write() as tx:
            await tx.run(
                _ADD,
                id=session.id,
                name=clean(session.name)[:128],
                permissions=dumps_list(sorted(session.permissions)),
                source=session.source,
                counter=session.counter,
                created_at=seconds(session.created_at),
                rotated_at=stamp(session.rotated_at),
                expires_at=seconds(session.expires_at),
                revoked=session.revoked,
                user=session.user,
                user_version=session.user_version,
                method=session.method,
                address=clean(session.address)[:64],
            )

    async def get(self, session: str) -> Session | None:
        async with self._db.read() as tx:
            row = await tx.row(_GET, id=clean(session))
        return None if row is None else _to_session(row)

    async def list(self, *, user: str | None, now: datetime, limit: int) -> Sequence[Session]:
        async with self._db.read() as tx:
            rows = await tx.rows(
                _LIST,
                user=clean(user or ""),
                everybody=1 if user is None else 0,
                now=seconds(now),
                limit=max(1, limit),
            )
        return [_to_session(row) for row in rows]

    async def rotate(self, session: str, *, counter: int, now: datetime) -> bool:
        async with self._db.write() as tx:
            return await tx.run(_ROTATE, id=clean(session), counter=counter, now=seconds(now)) > 0

    async def revoke(self, session: str) -> None:
        async with self._db.write() as tx:
            await tx.run(_REVOKE, id=clean(session))

    async def drop_expired(self, *, now: datetime) -> int:
        async with self._db.write() as tx:
            return await tx.run(_DROP, now=seconds(now))


def _to_session(row: Sequence[Any]) -> Session:
    id_, name, permissions, source, counter, created_at, rotated_at, expires_at, revoked, *rest = row
    user, user_version, method, address = rest
    return Session(
        id=id_,
        name=name,
        permissions=frozenset(json.loads(permissions)),
        source=source,
        counter=counter,
        created_at=at(created_at),
        rotated_at=moment(rotated_at),
        expires_at=at(expires_at),
        revoked=bool(revoked),
        user=user,
        user_version=user_version,
        method=method,
        address=address,
    )
