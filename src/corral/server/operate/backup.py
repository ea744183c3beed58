"""`corral system backup --offline`: a backup on the server's own machine while the server is stopped.

The embedded engine is started for the moment, on loopback and a free port, so that its objects come along in the same form as from
a running server.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from corral.bus import jetstream
from corral.bus.embedded import EmbeddedEngine
from corral.bus.jetstream import JetStreamEngine
from corral.bus.realm import NodesClaims, Realm
from corral.domain.errors import NotFound, Unavailable
from corral.runtime.clock import Clock, SystemClock
from corral.runtime.files import DirectoryLock
from corral.runtime.lifecycle import TaskSet
from corral.server.compose.backup import BackupSource, remove_leftovers
from corral.server.compose.ground import engine_settings, engine_tls, store_limits
from corral.server.config import ServerConfig, default_file, load_server_config
from corral.server.infrastructure.sql.database import Database

_START_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Made:
    path: Path
    size_bytes: int
    database: str


async def offline_backup(file: Path, *, config: Path | None = None, data_dir: Path | None = None) -> Made:
    """Write `file`. Raises Conflict while a server runs on that data, NotFound when there is none."""
    flags = {"server.data_dir": str(data_dir) if data_dir else None}
    if data_dir is not None and config is None and (data_dir / "corral.toml").exists():
        config = data_dir / "corral.toml"
    settings = load_server_config(file=config, env=os.environ, flags=flags).value
    data = settings.data_dir
    if not (data / "keys").is_dir():
        raise NotFound(
            f"cannot back up {str(data)!r}: no server keeps its data there",
            element="server.data_dir",
            hint="name it with --data-dir or --config",
        )
    clock = SystemClock()
    lock = DirectoryLock(data, name="server.lock", what="the data directory")
    lock.acquire()
    db = Database(settings.sql.url.reveal() or f"sqlite:///{data / 'corral.db'}")
    try:
        remove_leftovers(data)
        await db.ping()
        async with _engine(settings, clock) as engine:
            source = BackupSource(
                config=settings,
                db=db,
                clock=clock,
                objects=None if engine is None else engine.objects,
                config_file=config or default_file(),
            )
            size = 0
            async with source.open() as chunks:
                with file.open("xb") as target:
                    os.fchmod(target.fileno(), 0o600)
                    async for chunk in chunks:
                        size += target.write(chunk)
                    target.flush()
                    os.fsync(target.fileno())
            source.note_made()
        return Made(path=file, size_bytes=size, database=db.dialect)
    finally:
        await db.close()
        lock.release()


@asynccontextmanager
async def _engine(settings: ServerConfig, clock: Clock) -> AsyncIterator[JetStreamEngine | None]:
    """A connected engine; None when there has never been one."""
    realm = Realm.load(settings.data_dir / "keys" / "realm.json", clock)
    limits = store_limits(settings)
    if settings.engine.urls:
        bus = await jetstream.connect(settings.engine.urls, realm=realm, tls=engine_tls(settings), limits=limits)
        try:
            yield bus
        finally:
            await bus.close()
        return
    if not (settings.data_dir / "engine" / "store").is_dir():
        yield None
        return

    async def claims() -> NodesClaims:
        return NodesClaims()

    embedded = EmbeddedEngine(
        directory=settings.data_dir / "engine",
        realm=realm,
        claims=claims,
        settings=replace(engine_settings(settings), host="127.0.0.1", port=0, tls=None),
        clock=clock,
    )
    tasks, ready = TaskSet("backup"), asyncio.Event()
    running = tasks.start(embedded.run(ready.set), name="engine")
    waiting = tasks.start(ready.wait(), name="ready")
    try:
        await asyncio.wait([running, waiting], timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        if not ready.is_set():
            raise Unavailable("cannot start the engine for the backup", element="engine")
        bus = await jetstream.connect([embedded.url], realm=realm, limits=limits)
        try:
            yield bus
        finally:
            await bus.close()
    finally:
        await tasks.close(grace_seconds=15)
