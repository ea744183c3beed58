"""The command policy."""

from __future__ import annotations

from corral.server.interface.rest.route import Route

ROUTES: tuple[Route, ...] = ()
