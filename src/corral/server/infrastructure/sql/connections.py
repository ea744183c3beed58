"""Named connections in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from corral.domain.connection import Connection
from corral.domain.errors import Conflict, NotFound
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.statements import Statement
from corral.server.infrastructure.sql.values import clean, dumps, loads, moment, stamp

_COLUMNS: Final = (
    "name, engine, host, port, database, login, password_secret, tls, options, selector, description, changed_at, "
    "changed_by, resource_version"
)
_VERSION: Final = Statement("select t.resource_version from connections t where t.name = :name $lock")
_ADD: Final = Statement(
    f"""
    insert into connections ({_COLUMNS})
    values (:name, :engine, :host, :port, :database, :login, :password_secret, :tls, :options, :selector, :description,
            :changed_at, :changed_by, :resource_version)
    on conflict (name) do update set engine = excluded.engine, host = excluded.host, port = excluded.port,
        database = excluded.database, login = excluded.login, password_secret = excluded.password_secret,
        tls = excluded.tls, options = excluded.options, selector = excluded.selector,
        description = excluded.description, changed_at = excluded.changed_at, changed_by = excluded.changed_by,
        resource_version = excluded.resource_version
    """
)
_GET: Final = Statement(f"select {_COLUMNS} from connections where name = :name")
_LIST: Final = Statement(f"select {_COLUMNS} from connections order by name")
_DELETE: Final = Statement("delete from connections where name = :name")


class SqlConnectionStore:
    """ConnectionStore over SQLite or PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def put(self, connection: Connection, *, if_match: int | None = None) -> Connection:
        async with self._db.write() as tx:
            row = await tx.row(_VERSION, name=connection.name)
            version = 0 if row is None else int(row[0])
            if if_match is not None and if_match != version:
                raise changed(connection.name, version, if_match)
            stored = replace(connection, resource_version=version + 1)
            await tx.run(_ADD, **_values(stored))
        return stored

    async def get(self, name: str) -> Connection:
        async with self._db.read() as tx:
            row = await tx.row(_GET, name=clean(name))
        if row is None:
            raise no_connection(name)
        return _connection(row)

    async def list(self) -> Sequence[Connection]:
        async with self._db.read() as tx:
            return [_connection(row) for row in await tx.rows(_LIST)]

    async def delete(self, name: str) -> None:
        async with self._db.write() as tx:
            if not await tx.run(_DELETE, name=clean(name)):
                raise no_connection(name)


def no_connection(name: str) -> NotFound:
    return NotFound(
        f"cannot find connection {name[:64]!r}: there is none",
        element="connection",
        hint="corral connection list; corral connection set",
    )


def changed(name: str, version: int, if_match: int) -> Conflict:
    return Conflict(
        f"cannot change connection {name!r}: it is at version {version}, not {if_match}",
        element="resource_version",
        hint=f"look again: corral connection show {name}",
    )


def _values(connection: Connection) -> dict[str, Any]:
    return {
        "name": connection.name,
        "engine": connection.engine,
        "host": clean(connection.host),
        "port": connection.port,
        "database": clean(connection.database),
        "login": clean(connection.user),
        "password_secret": connection.password_secret,
        "tls": dumps(connection.tls),
        "options": dumps(connection.options),
        "selector": connection.selector,
        "description": clean(connection.description),
        "changed_at": stamp(connection.changed_at) or 0.0,
        "changed_by": clean(connection.changed_by)[:128],
        "resource_version": connection.resource_version,
    }


def _connection(row: Sequence[Any]) -> Connection:
    return Connection(
        name=row[0],
        engine=row[1],
        host=row[2],
        port=row[3],
        database=row[4],
        user=row[5],
        password_secret=row[6],
        tls=loads(row[7]),
        options=loads(row[8]),
        selector=row[9],
        description=row[10],
        changed_at=moment(row[11]),
        changed_by=row[12],
        resource_version=row[13],
    )
