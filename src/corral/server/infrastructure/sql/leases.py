"""The leader lease (ports/access.py LeaseStore): one statement decides, and every new holder gets a higher fencing token.

`now` is the caller's clock: servers of one control plane agree within seconds, and a lease lasts longer than that.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.statements import Statement
from corral.server.infrastructure.sql.values import seconds as as_seconds

_ACQUIRE: Final = Statement(
    """
    insert into leases (name, holder, expires_at, token) values (:name, :holder, :expires_at, 1)
    on conflict (name) do update set
        token = case when leases.holder = excluded.holder and leases.expires_at > :now then leases.token
                     else leases.token + 1 end,
        holder = excluded.holder,
        expires_at = excluded.expires_at
    where leases.holder = excluded.holder or leases.expires_at <= :now
    returning token
    """
)
_RELEASE: Final = Statement("update leases set expires_at = 0 where name = :name and holder = :holder")


class SqlLeaseStore:
    """LeaseStore over SQLite or PostgreSQL. A holder that let its lease run out gets a new token, even unopposed."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def acquire(self, name: str, holder: str, *, seconds: float, now: datetime) -> int | None:
        moment = as_seconds(now)
        async with self._db.write() as tx:
            row = await tx.row(_ACQUIRE, name=name, holder=holder, expires_at=moment + seconds, now=moment)
        return None if row is None else int(row[0])

    async def release(self, name: str, holder: str) -> None:
        """Free at once; the token lives on, so the next holder's is higher."""
        async with self._db.write() as tx:
            await tx.run(_RELEASE, name=name, holder=holder)
