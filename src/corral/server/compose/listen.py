"""The listeners, and what they serve: plain HTTP on loopback, HTTPS for everybody else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corral.domain.netguard import parse_networks
from corral.server.application.ports.jobs import DeadLetters
from corral.server.compose.access import Access
from corral.server.compose.ground import Ground
from corral.server.compose.system import compose_system
from corral.server.infrastructure.sql.idempotency import SqlIdempotencyStore
from corral.server.interface.rest.api import Frame, asgi
from corral.server.interface.rest.limits import Limits
from corral.server.interface.rest.listen import Listener
from corral.server.interface.rest.metrics import Metrics
from corral.server.interface.rest.table import ROUTES


def compose_listeners(ground: Ground, rooms: Mapping[str, Any], access: Access, letters: DeadLetters) -> list[Listener]:
    settings = ground.config.server
    metrics = Metrics({"jobs": lambda: dict(ground.counters), "nodes": lambda: dict(ground.registry.counts())})
    frame = Frame(
        authenticate=access.room.authenticate,
        holds=access.room.authenticate.holds,
        record=access.writer.record,
        answers=SqlIdempotencyStore(ground.db),
        sealer=access.sealer,
        clock=ground.clock,
        metrics=metrics,
        limits=Limits(body_max_bytes=settings.body_max_bytes, requests_per_second=settings.requests_per_second),
    )
    app = asgi({**rooms, "access": access.room, "system": compose_system(ground, letters)}, routes=ROUTES, frame=frame)
    proxies = [str(network) for network in parse_networks(settings.trusted_proxies, "server.trusted_proxies")]
    listeners = [Listener(app=app, host=settings.host, port=settings.port, trusted_proxies=proxies)]
    if settings.tls_cert and settings.tls_key:
        listeners.append(
            Listener(
                app=app,
                host=settings.tls_host,
                port=settings.tls_port,
                cert=settings.tls_cert,
                key=settings.tls_key,
                trusted_proxies=proxies,
            )
        )
    return listeners
