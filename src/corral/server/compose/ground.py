"""What everything stands on: settings, time, truth, engine, keys, and the fleet as this server sees it."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from corral.bus.embedded import EmbeddedEngine
from corral.bus.engine_config import EngineSettings, EngineTls
from corral.bus.jetstream import JetStreamEngine
from corral.bus.realm import NodesClaims, Realm
from corral.protocol.topology import StoreLimits
from corral.runtime.clock import Clock
from corral.runtime.files import private_dir
from corral.server.application.jobs.counters import Counters
from corral.server.application.leadership import Leadership
from corral.server.application.nodes.registry import Registry
from corral.server.compose.certificates import prepare_certificates
from corral.server.config import ServerConfig
from corral.server.infrastructure.pki.signing import KeyRing
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.leases import SqlLeaseStore
from corral.server.infrastructure.sql.nodes import SqlNodeStore


@dataclass(kw_only=True)
class Ground:
    """Shared by every room; nothing here knows a room."""

    config: ServerConfig
    clock: Clock
    db: Database
    realm: Realm
    ring: KeyRing
    embedded: EmbeddedEngine | None
    bus: JetStreamEngine
    leadership: Leadership
    counters: Counters = field(default_factory=Counters)
    registry: Registry = field(default_factory=Registry)
    config_file: Path | None = None
    count_reports: Callable[[Mapping[str, int]], None] = lambda sent: None
    """Hears node → reports of each ingested batch; the nodes room puts its flood guard here."""
    count_syncs: Callable[[Mapping[str, int]], None] = lambda sent: None
    """The same for syncs."""

    @property
    def keys(self) -> Path:
        return self.config.data_dir / "keys"

    def engine_urls(self) -> Sequence[str]:
        """What nodes are told."""
        own = self.config.engine.urls or ([self.embedded.url] if self.embedded else [])
        return self.config.engine.public_urls or own


def lease_holder(config: ServerConfig, db: Database) -> str:
    """Who leads. Over SQLite there is one server to a data directory, by its lock: what another held there died with it, so the
    next one goes on under the same name at once instead of waiting for a dead server's lease to run out.
    """
    if db.dialect == "sqlite":
        return f"{socket.gethostname()}:{config.data_dir}"
    return f"{socket.gethostname()}:{os.getpid()}:{os.urandom(3).hex()}"


def lay_ground(config: ServerConfig, clock: Clock, db: Database, *, config_file: Path | None = None) -> Ground:
    prepare_certificates(config, clock)
    keys = private_dir(config.data_dir / "keys")
    realm_file = keys / "realm.json"
    if realm_file.exists():
        realm = Realm.load(realm_file, clock)
    else:
        realm = Realm.create(clock)
        realm.save(realm_file)
    nodes = SqlNodeStore(db)

    async def claims() -> NodesClaims:
        return NodesClaims(revoked=dict(await nodes.revocations()), nodes=max(1024, 2 * len(await nodes.all())))

    limits = store_limits(config)
    embedded = None
    if not config.engine.urls:
        embedded = EmbeddedEngine(
            directory=config.data_dir / "engine",
            realm=realm,
            claims=claims,
            settings=engine_settings(config),
            clock=clock,
        )
    bus = JetStreamEngine(
        urls=lambda: config.engine.urls or [embedded.url if embedded else ""],
        realm=realm,
        tls=engine_tls(config),
        limits=limits,
    )
    holder = lease_holder(config, db)
    return Ground(
        config=config,
        config_file=config_file,
        clock=clock,
        db=db,
        realm=realm,
        ring=KeyRing.load_or_create(keys / "signing.json", clock),
        embedded=embedded,
        bus=bus,
        leadership=Leadership(leases=SqlLeaseStore(db), holder=holder, clock=clock),
    )


def engine_settings(config: ServerConfig) -> EngineSettings:
    """How an engine of ours listens and how much it may keep."""
    tls = None
    if config.engine.tls_cert and config.engine.tls_key:
        tls = EngineTls(cert=config.engine.tls_cert, key=config.engine.tls_key)
    return EngineSettings(
        host=config.engine.host,
        port=config.engine.port,
        tls=tls,
        # Asking for a stream that is there already counts it once more while the engine compares.
        max_file_bytes=2 * store_limits(config).file_bytes,
    )


def store_limits(config: ServerConfig) -> StoreLimits:
    """The engine reserves the sum of its streams, so the parts are shares of what it may keep in all."""
    share = config.engine.store_max_bytes // 20
    return StoreLimits(
        reports_bytes=2 * share,
        output_bytes=config.retention.output_max_bytes or 8 * share,
        output_seconds=config.retention.output_days * 86400.0,
        metrics_bytes=share // 2,
        facts_bytes=share // 2,
        artifacts_bytes=5 * share,
        archive_bytes=4 * share,
    )


def engine_tls(config: ServerConfig) -> ssl.SSLContext | None:
    if config.engine.tls_ca is None:
        return None
    context = ssl.create_default_context(cafile=str(config.engine.tls_ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
