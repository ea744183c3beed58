"""The database behind a URL: one writer at a time on SQLite, a pool on PostgreSQL, errors in our words.

- SQLite: WAL and synchronous=FULL (committed means on disk), ONE writer connection that begins with BEGIN IMMEDIATE behind a fair
  lock, and separate readers, each statement its own snapshot: no reader ever holds a transaction open, or the WAL would grow.
- PostgreSQL: READ COMMITTED, rows locked in one order everywhere (jobs by id, then tasks by job and node); reads autocommit.
- `async with db.write() as tx` commits at the end and rolls back on any error, cancellation included.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from corral.domain.errors import Invalid, Unsupported
from corral.runtime.files import private_dir
from corral.server.infrastructure.sql.errors import translate
from corral.server.infrastructure.sql.statements import Dialect, Rows, Statement, as_json, from_json

_OLDEST_SQLITE: Final = (3, 35, 0)  # RETURNING
_BUSY_MS: Final = 4000
_READERS: Final = 4
_PRAGMAS: Final = (
    "pragma busy_timeout = 4000",
    "pragma journal_mode = wal",
    "pragma synchronous = full",
    "pragma cache_size = -32000",
    "pragma temp_store = memory",
    "pragma journal_size_limit = 67108864",
)


class Tx:
    """Statements on one connection: inside `write` one transaction, inside `read` each for itself.

    They go to the driver directly (SQLAlchemy keeps the pool, the transaction and the schema): on the path of every report,
    its result objects cost more than the work itself. A statement with `$rows` and no rows does nothing.
    """

    def __init__(self, connection: AsyncConnection, driver: Any, dialect: Dialect) -> None:
        self.connection = connection
        self.dialect: Dialect = dialect
        self._driver = driver

    async def rows(self, statement: Statement, rows: Rows = (), **values: Any) -> list[Sequence[Any]]:
        """All result rows. Their order is the statement's, unless its rows were split over executions: sort them yourself."""
        if self.dialect == "sqlite":
            found: list[Sequence[Any]] = []
            for text, bound in statement.sqlite(values, rows):
                got = await self._driver.execute_fetchall(text, bound)
                found += from_json(got[0][0]) if statement.many else got
            return found
        if statement.takes_rows:
            if not rows:
                return []
            values["rows"] = as_json(rows)
        cursor = await self._driver.execute(statement.postgresql, values)
        return cast("list[Sequence[Any]]", await cursor.fetchall())

    async def each(self, *reads: tuple[Statement, Mapping[str, Any]]) -> list[list[Sequence[Any]]]:
        """The rows of several queries, asked at once: a busy event loop is waited for once, not once a query."""
        return await asyncio.gather(*(self.rows(statement, **values) for statement, values in reads))

    async def row(self, statement: Statement, **values: Any) -> Sequence[Any] | None:
        """The only result row, or None."""
        found = await self.rows(statement, **values)
        return found[0] if found else None

    async def run(self, statement: Statement, rows: Rows = (), **values: Any) -> int:
        """Execute and return how many rows of the database it touched."""
        touched = 0
        if self.dialect == "sqlite":
            for text, bound in statement.sqlite(values, rows):
                cursor = await self._driver.execute(text, bound)
                touched += (
                    cursor.rowcount
                )  # not closed: it is spent already, and closing is one more trip to its thread
            return touched
        if statement.takes_rows:
            if not rows:
                return 0
            values["rows"] = as_json(rows)
        cursor = await self._driver.execute(statement.postgresql, values)
        return int(cursor.rowcount)


class Database:
    """One database; `name` is what errors and people call it (the file, or host and database, never a password)."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        parsed = _parse(url)
        self.url = parsed
        if parsed.get_backend_name() == "sqlite":
            self.dialect: Dialect = "sqlite"
            self.path: Path | None = _sqlite_path(parsed)
            self.name = str(self.path)
            self._writer, self._reader = _sqlite_engines(parsed)
            self._lock: asyncio.Lock | None = asyncio.Lock()
        else:
            self.dialect = "postgresql"
            self.path = None
            self.name = f"{parsed.host or 'localhost'}/{parsed.database}"
            self._writer = create_async_engine(
                parsed, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True, pool_timeout=5
            )
            self._reader = self._writer.execution_options(isolation_level="AUTOCOMMIT")
            self._lock = None

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Tx]:
        """One transaction, durable when the block ends. Writers queue up fairly on SQLite: keep the block short."""
        if self._lock is None:
            async with self._begin() as tx:
                yield tx
            return
        async with self._lock:
            async with self._begin() as tx:
                yield tx

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[Tx]:
        try:
            async with self._writer.begin() as connection:
                yield Tx(connection, await _driver(connection), self.dialect)
        except Exception as error:
            raise self._said(error) from error

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Tx]:
        """Reads, each statement on its own: nothing is held open between them."""
        try:
            async with self._reader.connect() as connection:
                yield Tx(connection, await _driver(connection), self.dialect)
        except Exception as error:
            raise self._said(error) from error

    def _said(self, error: Exception) -> Exception:
        """Errors of the database in our words; anything else that passes through a block stays what it is."""
        unfit = isinstance(error, OverflowError) and "SQLite" in str(error)
        if (
            unfit
            or isinstance(error, sqlite3.Error | OSError)
            or type(error).__module__.startswith(("sqlalchemy", "psycopg"))
        ):
            return translate(error, self.name)
        return error

    async def ping(self) -> None:
        """Raises Unavailable when the database does not answer: for /readyz."""
        async with self.read() as tx:
            await tx.row(_PING)

    async def close(self) -> None:
        await self._writer.dispose()
        if self.dialect == "sqlite":
            await self._reader.dispose()


async def _driver(connection: AsyncConnection) -> Any:
    """The aiosqlite or psycopg connection under a SQLAlchemy connection."""
    return (await connection.get_raw_connection()).driver_connection


_PING: Final = Statement("select 1")


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    backend = "" if parsed is None else parsed.get_backend_name()
    if parsed is None or backend not in ("sqlite", "postgresql", "postgres"):
        raise Invalid(
            f"cannot use database URL of kind {backend or 'unknown'!r}: expected sqlite:/// or postgresql://",
            element="server.database",
            hint="example: postgresql://corral@db.example/corral",
        )
    return parsed.set(drivername="sqlite+aiosqlite" if backend == "sqlite" else "postgresql+psycopg")


def _sqlite_path(url: URL) -> Path:
    if not url.database or url.database == ":memory:":
        raise Invalid(
            "cannot use SQLite in memory: readers and the writer need one file",
            element="server.database",
            hint="example: sqlite:////var/lib/corral/corral.db",
        )
    return Path(url.database).absolute()


def _sqlite_engines(url: URL) -> tuple[AsyncEngine, AsyncEngine]:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise Unsupported(
            f"cannot use SQLite {sqlite3.sqlite_version}: 3.35 or newer is needed",
            element="sqlite",
            hint="use PostgreSQL, or a Python built with a newer SQLite",
        )
    path = _sqlite_path(url)
    private_dir(path.parent)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    # The driver never begins by itself (isolation_level None): the writer's BEGIN IMMEDIATE below is the only one.
    options: dict[str, Any] = {"connect_args": {"isolation_level": None, "timeout": _BUSY_MS / 1000}}
    writer = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=10, **options)
    reader = create_async_engine(
        url, pool_size=_READERS, max_overflow=0, pool_timeout=10, pool_reset_on_return=None, **options
    )

    def prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(pragma)
        cursor.close()

    def only_read(connection: Any, _record: Any) -> None:
        prepare(connection, _record)
        cursor = connection.cursor()
        cursor.execute("pragma query_only = on")
        cursor.close()

    def begin(connection: Any) -> None:
        connection.exec_driver_sql("begin immediate")

    event.listen(writer.sync_engine, "connect", prepare)
    event.listen(reader.sync_engine, "connect", only_read)
    event.listen(writer.sync_engine, "begin", begin)
    return writer, reader
