"""The kinds of task, with the JSON Schema of each."""

from __future__ import annotations

from corral.server.interface.rest.route import Route

ROUTES: tuple[Route, ...] = ()
