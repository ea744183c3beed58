"""Failed logins (ports/people.py AttemptStore). Rows are locked in the order of their keys: two logins never wait in a circle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from corral.server.application.ports.people import Attempts
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.statements import Statement
from corral.server.infrastructure.sql.values import clean, seconds

_ENSURE: Final = Statement(
    """
    insert into login_attempts ("key", "count", lockouts, "until", last_at) values (:key, 0, 0, 0, 0)
    on conflict do nothing
    """
)
_LOCK: Final = Statement('select "count", lockouts, "until", last_at from login_attempts t where t."key" = :key $lock')
_STORE: Final = Statement(
    """
    update login_attempts set "count" = :count, lockouts = :lockouts, "until" = :until, last_at = :last_at
    where "key" = :key
    """
)
_DROP: Final = Statement('delete from login_attempts where last_at < :moment and "until" < :moment')


class SqlAttemptStore:
    """AttemptStore over SQLite or PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def update(
        self, keys: Sequence[str], change: Callable[[Mapping[str, Attempts]], Mapping[str, Attempts]]
    ) -> None:
        async with self._db.write() as tx:
            known: dict[str, Attempts] = {}
            for key in sorted(map(clean, keys)):
                await tx.run(_ENSURE, key=key)
                row = await tx.row(_LOCK, key=key)
                if row is not None:
                    known[key] = Attempts(count=row[0], lockouts=row[1], until=row[2], last_at=row[3])
            for key, new in change(known).items():
                if new != known.get(key):
                    await tx.run(
                        _STORE, key=key, count=new.count, lockouts=new.lockouts, until=new.until, last_at=new.last_at
                    )

    async def drop_before(self, moment: datetime) -> int:
        async with self._db.write() as tx:
            return await tx.run(_DROP, moment=seconds(moment))
