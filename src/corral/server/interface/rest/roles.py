"""Roles and grants: who may do what, on which nodes."""

from __future__ import annotations

from corral.server.interface.rest.route import Route

ROUTES: tuple[Route, ...] = ()
