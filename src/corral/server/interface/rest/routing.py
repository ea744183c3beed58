"""Which row of the table a request means, known before the web framework sees it: permission and limits hang on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from corral.server.interface.rest.route import Route

PREFIX: Final = "/api/v1"


def litestar_path(path: str) -> str:
    """`{id}` of the table as `{id:str}`."""
    parts = [f"{part[:-1]}:str}}" if part.startswith("{") and ":" not in part else part for part in path.split("/")]
    return "/".join(parts) or "/"


class RouteIndex:
    """`api` rows live under /api/v1, `root` rows at the root. A plain word in a path wins over a parameter."""

    def __init__(self, api: Iterable[Route], root: Iterable[Route]) -> None:
        self._rows: dict[tuple[str, int], list[tuple[tuple[str | None, ...], Route]]] = {}
        for prefix, routes in ((PREFIX, api), ("", root)):
            for route in routes:
                parts = tuple(None if part.startswith("{") else part for part in _split(prefix + route.path))
                self._rows.setdefault((route.method, len(parts)), []).append((parts, route))
        for rows in self._rows.values():
            rows.sort(key=lambda row: [part is None for part in row[0]])

    def match(self, method: str, path: str) -> Route | None:
        given = _split(path)
        for parts, route in self._rows.get((method, len(given)), ()):
            if all(part is None or part == word for part, word in zip(parts, given, strict=True)):
                return route
        return None

    def is_public(self, route: Route | None, path: str) -> bool:
        """Whether nobody needs to be known: rows that say so, and unknown paths outside the API (they are answered 404)."""
        if route is not None:
            return route.permission is None
        return _split(path)[:2] != _split(PREFIX)


def _split(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part)
