"""Migrations: they make exactly the schema, once, under a lock, after a copy; a kill leaves the old or the new, never a mixture."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, text

from corral.domain.errors import Unsupported
from corral.server.infrastructure.sql import migrate as module
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.every_table import metadata
from corral.server.infrastructure.sql.migrate import head, migrate
from corral.server.infrastructure.sql.statements import Statement

SECOND_STEP = """
import os
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("later", sa.Column("id", sa.Integer(), primary_key=True))
    op.execute("update leases set holder = 'migrated'")
    if os.environ.get("CORRAL_TEST_KILL") == "here":
        os.kill(os.getpid(), 9)
    op.create_table("later_still", sa.Column("id", sa.Integer(), primary_key=True))
"""
RUN = """
import asyncio, sys
from pathlib import Path
from corral.server.infrastructure.sql import migrate as module
from corral.server.infrastructure.sql.database import Database

async def main(url, scripts):
    module._config = lambda real=module._config: configured(real(), scripts)
    db = Database(url)
    try:
        print(await module.migrate(db))
    finally:
        await db.close()

def configured(config, scripts):
    config.set_main_option("script_location", scripts)
    return config

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The migrations of a release that knows one step more."""
    scripts = tmp_path / "newer"
    shutil.copytree(Path(module.__file__).parent / "migrations", scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "versions" / "9999_later.py").write_text(SECOND_STEP.replace("{head}", head()))
    return scripts


def run(url: str, scripts: Path, *, kill: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, url, str(scripts)],
        env={"CORRAL_TEST_KILL": kill, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )


async def tables(db: Database) -> set[str]:
    def names(connection: Connection) -> set[str]:
        found = MetaData()
        found.reflect(connection)
        return set(found.tables)

    async with db.write() as tx:
        return await tx.connection.run_sync(names)


async def test_the_migrations_make_exactly_the_schema(url: str) -> None:
    db = Database(url)

    def differences(connection: Connection) -> Any:
        return compare_metadata(
            MigrationContext.configure(connection, opts={"compare_server_default": False}), metadata
        )

    try:
        assert await migrate(db) == ""
        assert await migrate(db) == head()
        async with db.write() as tx:
            assert await tx.connection.run_sync(differences) == []
    finally:
        await db.close()


async def test_an_sqlite_made_by_migration_has_the_very_tables_of_the_schema(tmp_path: Path) -> None:
    """Autogenerate sees neither partial indexes nor WITHOUT ROWID; the text of each object does."""
    db, plain = (Database(f"sqlite:///{tmp_path}/{name}.db") for name in ("migrated", "plain"))
    listing = Statement("select type, name, sql from sqlite_master where name <> 'alembic_version' order by 1, 2")
    found = []
    try:
        await migrate(db)
        async with plain.write() as tx:
            await tx.connection.run_sync(metadata.create_all)
        for each in (db, plain):
            async with each.read() as tx:
                rows = [tuple(row) for row in await tx.rows(listing)]
            found.append({(kind, name): _words(sql) for kind, name, sql in rows if "alembic" not in name})
    finally:
        await db.close()
        await plain.close()
    assert found[0] == found[1]


def _words(sql: str | None) -> list[str]:
    """The parts of a definition, whatever their order and spacing."""
    text_ = (sql or "").replace("(false)", "false").replace("\n", " ").replace("\t", " ")
    return sorted(part.strip() for part in text_.replace("(", ",").replace(")", ",").split(",") if part.strip())


async def test_servers_that_start_at_once_migrate_once(url: str) -> None:
    servers = [Database(url) for _ in range(4)]
    try:
        before = await asyncio.gather(*(migrate(db) for db in servers))
    finally:
        for db in servers:
            await db.close()
    assert sorted(before) == ["", head(), head(), head()]


async def test_a_newer_database_is_refused_naming_both_revisions(url: str) -> None:
    db = Database(url)
    try:
        await migrate(db)
        async with db.write() as tx:
            await tx.connection.execute(text("update alembic_version set version_num = '0999'"))
        with pytest.raises(Unsupported) as raised:
            await migrate(db)
    finally:
        await db.close()
    assert "0999" in raised.value.message
    assert head() in raised.value.message


async def test_a_foreign_database_is_left_alone(url: str) -> None:
    db = Database(url)
    try:
        async with db.write() as tx:
            await tx.connection.execute(text("create table theirs (id integer)"))
        with pytest.raises(Unsupported, match="not Corral's"):
            await migrate(db)
        assert await tables(db) == {"theirs"}
    finally:
        await db.close()


async def test_a_kill_in_the_middle_leaves_the_old_schema_and_the_next_start_finishes(url: str, newer: Path) -> None:
    db = Database(url)
    try:
        await migrate(db)
        async with db.write() as tx:
            await tx.connection.execute(text("insert into leases values ('x', 'before', 0, 1)"))
        old = await tables(db)
        killed = await asyncio.to_thread(run, url, newer, kill="here")
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert await tables(db) == old
        assert await _holder(db) == "before"
        assert await migrate(db) == head(), "this release still works with it"
        done = await asyncio.to_thread(run, url, newer)
        assert (done.returncode, done.stdout) == (0, f"{head()}\n"), done.stderr
        assert await tables(db) == old | {"later", "later_still"}
        assert await _holder(db) == "migrated"
        with pytest.raises(Unsupported, match="9999"):
            await migrate(db)
    finally:
        await db.close()


async def test_a_copy_is_made_before_the_first_step(tmp_path: Path, newer: Path) -> None:
    path = tmp_path / "corral.db"
    db = Database(f"sqlite:///{path}")
    await migrate(db)
    async with db.write() as tx:
        await tx.connection.execute(text("insert into leases values ('x', 'before', 0, 1)"))
    await db.close()
    assert list(tmp_path.glob("*.before-*")) == [], "a new file has nothing to copy"
    (tmp_path / f".corral.db.before-{head()}.tmp").write_bytes(b"left by a kill")
    done = await asyncio.to_thread(run, f"sqlite:///{path}", newer)
    assert done.returncode == 0, done.stderr
    copy = tmp_path / f"corral.db.before-{head()}"
    assert copy.stat().st_mode & 0o777 == 0o600
    connection = sqlite3.connect(copy)
    try:
        assert connection.execute("select holder from leases").fetchall() == [("before",)]
        assert connection.execute("select version_num from alembic_version").fetchall() == [(head(),)]
    finally:
        connection.close()
    assert sorted(path.name for path in tmp_path.glob(".*.tmp")) == []


def test_every_migration_is_package_data() -> None:
    """They are read from the installed package, so each must lie inside it and be named in order."""
    revisions = [script.revision for script in module.scripts().walk_revisions()]
    assert sorted(revisions, reverse=True) == revisions
    assert all(
        Path(script.path).is_relative_to(Path(module.__file__).parent) for script in module.scripts().walk_revisions()
    )


async def _holder(db: Database) -> str:
    async with db.read() as tx:
        row = await tx.row(Statement("select holder from leases where name = 'x'"))
    assert row is not None
    return str(row[0])
