"""Bring a database to this release's schema, at every start: under a lock, all steps in one transaction, after a copy.

- A kill at any point leaves the old schema or the new one, never something between.
- Of several servers that start at once, one migrates and the others wait for it.
- A database of a newer release is refused, naming both revisions.
- An SQLite file is copied to `<file>.before-<its revision>` first; `migrate` never deletes a copy.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from corral.domain.errors import OutOfSpace, Unavailable, Unsupported
from corral.runtime.files import sync_dir
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.errors import damaged, translate

log = logging.getLogger("corral.sql")

_ADVISORY_LOCK: Final = 0x636F7272616C  # "corral"
_CHECKED_BYTES_MAX: Final = 256 << 20
"""Bigger SQLite files are not checked page by page at start: it would take seconds."""


def scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def head() -> str:
    """The revision this release speaks."""
    revision = scripts().get_current_head()
    assert revision is not None, "the package holds no migrations"
    return revision


async def migrate(db: Database) -> str:
    """Check the database and bring it to head; the revision it had before ("" for a new one).

    Raises Unsupported for a newer one, Unavailable when it is damaged or away, OutOfSpace when the copy does not fit.
    """
    if db.path is not None:
        await asyncio.to_thread(_check_file, db.path)
    async with db.write() as tx:
        if db.dialect == "postgresql":
            await tx.connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        before = await tx.connection.run_sync(_revision)
        if before == head():
            return before
        if before is None and await tx.connection.run_sync(_has_tables):
            raise Unsupported(
                f"cannot use database {db.name!r}: it holds tables that are not Corral's",
                element="server.database",
                hint="give Corral an empty database of its own",
            )
        if before is not None:
            _refuse_unknown(db, before)
            if db.path is not None:
                await asyncio.to_thread(_copy, db.path, before)
        log.info(
            "Migrating the database from %s to %s",
            before or "empty",
            head(),
            extra={"action": "migrate", "db": db.name},
        )
        await tx.connection.run_sync(_upgrade)
    return before or ""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _has_tables(connection: Connection) -> bool:
    return bool(inspect(connection).get_table_names())


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _refuse_unknown(db: Database, revision: str) -> None:
    known = {script.revision for script in scripts().walk_revisions()}
    if revision not in known:
        raise Unsupported(
            f"cannot use database {db.name!r}: its schema is {revision!r}, this release knows up to {head()!r}",
            element="server.database",
            hint="start the newer release, or restore a backup made by this one",
        )


def _check_file(path: Path) -> None:
    """Refuse a damaged file before anything is written to it."""
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        connection = sqlite3.connect(path, timeout=10)
        try:
            small = path.stat().st_size <= _CHECKED_BYTES_MAX
            pragma = "pragma quick_check(1)" if small else "pragma schema_version"
            answer = connection.execute(pragma).fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise translate(error, str(path)) from error
    if small and answer[0] != "ok":
        raise damaged(str(path), str(answer[0]).splitlines()[-1])


def _copy(path: Path, revision: str) -> None:
    """A whole, compact copy beside the file, durable before the first step runs."""
    target = path.with_name(f"{path.name}.before-{revision}")
    temporary = path.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        connection = sqlite3.connect(path, timeout=10, isolation_level=None)
        try:
            connection.execute("vacuum into ?", (str(temporary),))
        finally:
            connection.close()
        with temporary.open("rb+") as file:
            os.fchmod(file.fileno(), 0o600)
            os.fsync(file.fileno())
        os.replace(temporary, target)
        sync_dir(path.parent)
    except sqlite3.Error as error:
        temporary.unlink(missing_ok=True)
        raise translate(error, str(temporary)) from error
    except OSError as error:
        temporary.unlink(missing_ok=True)
        kind = OutOfSpace if error.errno == 28 else Unavailable
        raise kind(
            f"cannot copy the database before its migration to {str(target)!r}: {error.strerror}",
            element=str(target),
            hint="free as much space as the database takes, or remove an older copy",
        ) from error
