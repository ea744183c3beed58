"""The table becomes an application: `build` is the bare table for Litestar, `asgi` is that behind the frame, which is what is served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from litestar import Litestar
from litestar.types import ASGIApp

import corral
from corral.runtime.clock import Clock
from corral.server.application.access.authenticate import Presented
from corral.server.application.ports.access import AuditEntry, Caller, IdempotencyStore, Sealer
from corral.server.interface.rest.audit import AuditHook
from corral.server.interface.rest.binding import handler
from corral.server.interface.rest.errors import exception_handler
from corral.server.interface.rest.front import Front, Gate
from corral.server.interface.rest.idempotency import Idempotency
from corral.server.interface.rest.limits import Limits
from corral.server.interface.rest.metrics import Metrics
from corral.server.interface.rest.oidc import oidc_routes
from corral.server.interface.rest.openapi import Document
from corral.server.interface.rest.root import root_routes
from corral.server.interface.rest.route import Route
from corral.server.interface.rest.routing import PREFIX, RouteIndex, litestar_path


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What the frame needs besides the rooms. `record` is AuditWriter.record, `authenticate` is AccessRoom.authenticate."""

    authenticate: Callable[[Presented], Awaitable[Caller]]
    record: Callable[[AuditEntry], Awaitable[None]]
    answers: IdempotencyStore
    sealer: Sealer
    clock: Clock
    holds: Callable[[Caller], Awaitable[bool]] | None = None
    """AccessRoom.authenticate.holds: whether who opened a stream still may."""
    metrics: Metrics = field(default_factory=Metrics)
    limits: Limits = field(default_factory=Limits)


def build(rooms: Mapping[str, Any], *, routes: Sequence[Route], root: Sequence[Route], clock: Clock) -> Litestar:
    """Handlers only. Without the frame nobody is known, so every route with a permission answers 401."""
    handlers = [
        handler(
            route,
            prefix + litestar_path(route.path),
            rooms,
            name=f"{route.method} {prefix}{route.template}",
            request_max_body_size=None,  # the frame has read and capped the body already
        )
        for prefix, rows in ((PREFIX, routes), ("", root))
        for route in rows
    ]
    return Litestar(
        handlers,
        exception_handlers={Exception: exception_handler(clock)},
        openapi_config=None,
        logging_config=None,
        debug=False,
    )


def asgi(rooms: Mapping[str, Any], *, routes: Sequence[Route], frame: Frame) -> ASGIApp:
    """The application for the web server. `rooms`: parameter name → room (nodes, jobs, access, system)."""
    document = Document(routes, rooms, version=corral.__version__)
    root = (*root_routes(document=document, metrics=frame.metrics, clock=frame.clock), *oidc_routes(frame.clock))
    gate = Gate(
        authenticate=frame.authenticate,
        idempotency=Idempotency(store=frame.answers, sealer=frame.sealer, clock=frame.clock),
        audit=AuditHook(record=frame.record, clock=frame.clock),
        metrics=frame.metrics,
        clock=frame.clock,
        limits=frame.limits,
        holds=frame.holds,
    )
    app = build(rooms, routes=routes, root=root, clock=frame.clock)
    return Front(app, routes=RouteIndex(routes, root), gate=gate)
