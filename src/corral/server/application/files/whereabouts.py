"""Where the revisions of an artifact are now, and what is on a node, as far as the caller sees the nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from corral.domain.artifact import check_source_path
from corral.domain.errors import Invalid
from corral.domain.ids import check_node_id
from corral.server.application.access.scope import Scope
from corral.server.application.ports.access import Caller
from corral.server.application.ports.files import PlacementPage, Placements

READ: Final = "file.read"


class Whereabouts:
    """Use case."""

    def __init__(self, *, placements: Placements, scope: Scope) -> None:
        self._placements = placements
        self._scope = scope

    async def of(
        self, caller: Caller, source_path: str, *, revision: int = 0, limit: int = 200, cursor: str | None = None
    ) -> PlacementPage:
        """By node; a page may hold fewer than `limit` where the caller may not look. Raises Invalid."""
        check_source_path(source_path)
        if revision < 0:
            raise Invalid(f"cannot use revision {revision}: they count from 1, 0 is all", element="revision")
        page = await self._placements.of(source_path, revision=revision, limit=limit, cursor=cursor)
        seen = set(self._scope.visible(caller, [one.node for one in page.items], READ))
        return replace(page, items=[one for one in page.items if one.node in seen])

    async def on(self, caller: Caller, node: str, *, limit: int = 200, cursor: str | None = None) -> PlacementPage:
        """What is on a node; nothing for one the caller may not see. Raises Invalid."""
        check_node_id(node, element="node")
        if not self._scope.visible(caller, [node], READ):
            return PlacementPage(items=())
        return await self._placements.on(node, limit=limit, cursor=cursor)
