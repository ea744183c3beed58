"""The route table: every path of the API with its permission, room by room. There is no other way to add one."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from corral.server.interface.rest import (
    access,
    approvals,
    audit_reading,
    connections,
    files,
    jobs,
    kinds,
    nodes,
    policies,
    roles,
    rollouts,
    secrets,
    sim,
    sql,
    system,
    users,
)
from corral.server.interface.rest.route import Route

_LARGE_BODY_BYTES: Final = 24 << 20
"""A spec may hold 16 MiB of script or stdin, which base64 makes a third larger."""
_SPECS: Final = frozenset({("POST", "/jobs"), ("POST", "/jobs/preview")})
_OPERATIONS: Final = frozenset({("POST", "/jobs")})
"""The use case keeps the Idempotency-Key itself, in the transaction that does the work."""


def _row(route: Route) -> Route:
    key = (route.method, route.path)
    return replace(
        route,
        body_max_bytes=_LARGE_BODY_BYTES if key in _SPECS else route.body_max_bytes,
        operation=route.operation or key in _OPERATIONS,
    )


ROUTES: Final[tuple[Route, ...]] = tuple(
    _row(route)
    for room in (
        nodes.ROUTES,
        jobs.ROUTES,
        files.ROUTES,
        rollouts.ROUTES,
        access.ROUTES,
        users.ROUTES,
        roles.ROUTES,
        approvals.ROUTES,
        policies.ROUTES,
        secrets.ROUTES,
        connections.ROUTES,
        kinds.ROUTES,
        sql.ROUTES,
        system.ROUTES,
        audit_reading.ROUTES,
        sim.ROUTES,
    )
    for route in room
)
