"""Who holds the leader lease after a crash."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from corral.server.compose.ground import lease_holder
from corral.server.config import ServerConfig
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.leases import SqlLeaseStore
from corral.server.infrastructure.sql.migrate import migrate

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_server_on_sqlite_leads_at_once_after_it_was_killed(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/corral.db")
    await migrate(db)
    leases = SqlLeaseStore(db)
    config = ServerConfig(server=replace(ServerConfig().server, data_dir=tmp_path))
    first = await leases.acquire("leader", lease_holder(config, db), seconds=6, now=NOW)
    again = await leases.acquire("leader", lease_holder(config, db), seconds=6, now=NOW + timedelta(seconds=1))
    assert first is not None
    assert again == first
    await db.close()


async def test_servers_on_one_postgresql_are_told_apart() -> None:
    db = Database("postgresql://127.0.0.1:1/none")
    assert lease_holder(ServerConfig(), db) != lease_holder(ServerConfig(), db)
    await db.close()
