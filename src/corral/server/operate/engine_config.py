"""`corral system engine-config`: the configuration of an engine that somebody else runs, for `engine.urls`.

It names the operator and the three accounts, revocations included, as they are now; no seed is in it. Later changes reach that
engine from the leading server, at every connection; this file matters only for its first start on an empty store.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from corral.bus.engine_config import EngineTls, render
from corral.bus.realm import NodesClaims, Realm
from corral.domain.errors import Invalid, NotFound
from corral.runtime.clock import SystemClock
from corral.server.compose.ground import engine_settings
from corral.server.config import ServerConfig, load_server_config
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.migrate import migrate
from corral.server.infrastructure.sql.nodes import SqlNodeStore

_HEAD: Final = """\
# For nats-server 2.15, made by 'corral system engine-config'. Start it with: nats-server -c FILE
# (as a user who owns the directories below; with 20,000 connections: LimitNOFILE=65536 and GOMEMLIMIT=3GiB)
"""


async def engine_config(
    config: Path | None,
    *,
    store_dir: str,
    listen: str | None = None,
    monitor_port: int = 8222,
    tls_cert: str | None = None,
    tls_key: str | None = None,
) -> str:
    """The whole text. Raises NotFound before there are keys, Invalid for a half-given certificate or a bad address."""
    settings = load_server_config(file=config, env=os.environ).value
    realm_file = settings.data_dir / "keys" / "realm.json"
    try:
        realm = Realm.load(realm_file, SystemClock())
    except FileNotFoundError:
        raise NotFound(
            f"cannot describe the engine: {str(realm_file)!r} is missing",
            element=str(realm_file),
            hint="make the keys first: corral system init",
        ) from None
    host, port = _address(listen)
    engine = replace(engine_settings(settings), host=host, port=port, tls=_tls(settings, tls_cert, tls_key))
    text = render(
        engine,
        directory=Path(store_dir),
        port=port,
        monitoring_port=monitor_port,
        operator_jwt=realm.operator_jwt(),
        system_account=realm.system_account,
        accounts=realm.account_jwts(await _claims(settings)),
    )
    return _HEAD + text.partition("\n")[2]


async def _claims(settings: ServerConfig) -> NodesClaims:
    """Who is revoked now; nobody while there is no database yet."""
    if settings.sql.is_sqlite and not settings.sql.url and not (settings.data_dir / "corral.db").exists():
        return NodesClaims()
    db = Database(settings.sql.url.reveal() or f"sqlite:///{settings.data_dir / 'corral.db'}")
    try:
        await migrate(db)
        nodes = SqlNodeStore(db)
        return NodesClaims(revoked=dict(await nodes.revocations()), nodes=max(1024, 2 * len(await nodes.all())))
    finally:
        await db.close()


def _tls(settings: ServerConfig, cert: str | None, key: str | None) -> EngineTls | None:
    if (cert is None) != (key is None):
        raise Invalid(
            "cannot use a certificate without its key", element="--tls-cert", hint="give --tls-cert and --tls-key"
        )
    if cert is not None and key is not None:
        return EngineTls(cert=Path(cert), key=Path(key))
    return engine_settings(settings).tls


def _address(listen: str | None) -> tuple[str, int]:
    host, _, port = (listen or "0.0.0.0:4222").rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise Invalid(
            f"cannot use {listen!r} as an address: expected host:port", element="--listen", hint="--listen 0.0.0.0:4222"
        )
    return host, int(port)
