"""Secrets as they may lie in a database: sealed, and never the master key beside them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from corral.server.application.ports.secrets import SealedSecret, SecretEntry
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.statements import Statement, as_set
from corral.server.infrastructure.sql.values import at, clean, seconds

_ENTRY: Final = "t.name, t.version, t.selector, t.description, t.changed_at, t.changed_by"
_ADD: Final = Statement(
    """
    insert into secrets (name, version, value, key, selector, description, changed_at, changed_by)
    values (:name, :version, :value, :key, :selector, :description, :changed_at, :changed_by)
    on conflict (name) do nothing
    """
)
_CHANGE: Final = Statement(
    """
    update secrets set version = :version, value = :value, key = :key, selector = :selector,
        description = :description, changed_at = :changed_at, changed_by = :changed_by
    where name = :name and version = :after
    """
)
_DESCRIBE: Final = Statement(
    """
    update secrets set selector = :selector, description = :description, changed_at = :changed_at,
        changed_by = :changed_by where name = :name
    """
)
_ENTRIES: Final = Statement(f"select {_ENTRY} from secrets t order by t.name")
_ENTRIES_OF: Final = Statement(f"select {_ENTRY} from secrets t where t.name in $in(names) order by t.name")
_SEALED: Final = Statement("select t.name, t.version, t.value, t.key from secrets t order by t.name")
_SEALED_OF: Final = Statement(
    "select t.name, t.version, t.value, t.key from secrets t where t.name in $in(names) order by t.name"
)
_DELETE: Final = Statement("delete from secrets where name = :name")
_REWRAP: Final = Statement("update secrets set key = :key where name = :name and version = :version")


class SqlSecretStore:
    """SecretStore over SQLite or PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def put(self, entry: SecretEntry, sealed: SealedSecret, *, after: int) -> bool:
        values = {**_described(entry), "version": entry.version, "value": sealed.value, "key": sealed.key}
        async with self._db.write() as tx:
            if after == 0:
                return await tx.run(_ADD, **values) == 1
            return await tx.run(_CHANGE, **values, after=after) == 1

    async def describe(self, entry: SecretEntry) -> bool:
        async with self._db.write() as tx:
            return await tx.run(_DESCRIBE, **_described(entry)) == 1

    async def entries(self, names: Collection[str] | None = None) -> Sequence[SecretEntry]:
        async with self._db.read() as tx:
            rows = await (tx.rows(_ENTRIES) if names is None else tx.rows(_ENTRIES_OF, names=as_set(names)))
        return [
            SecretEntry(
                name=row[0],
                version=row[1],
                selector=row[2],
                description=row[3],
                changed_at=at(row[4]),
                changed_by=row[5],
            )
            for row in rows
        ]

    async def sealed(self, names: Collection[str] | None = None) -> Sequence[SealedSecret]:
        async with self._db.read() as tx:
            rows = await (tx.rows(_SEALED) if names is None else tx.rows(_SEALED_OF, names=as_set(names)))
        return [SealedSecret(name=row[0], version=row[1], value=bytes(row[2]), key=bytes(row[3])) for row in rows]

    async def delete(self, name: str) -> bool:
        async with self._db.write() as tx:
            return await tx.run(_DELETE, name=clean(name)) == 1

    async def rewrap(self, keys: Mapping[tuple[str, int], bytes]) -> int:
        changed = 0
        async with self._db.write() as tx:
            for (name, version), key in sorted(keys.items()):
                changed += await tx.run(_REWRAP, name=name, version=version, key=key)
        return changed


def _described(entry: SecretEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "selector": entry.selector,
        "description": clean(entry.description),
        "changed_at": seconds(entry.changed_at),
        "changed_by": clean(entry.changed_by)[:128],
    }
