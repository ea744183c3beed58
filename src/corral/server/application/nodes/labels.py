"""Labels and groups belong to the server: changed at once, for offline nodes too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from corral.domain.access import EVERYWHERE
from corral.domain.errors import Denied
from corral.domain.node import Node, Relabelling
from corral.domain.selector.evaluate import matches
from corral.domain.selector.standing import check_standing
from corral.server.application.access.deciding import Deciding
from corral.server.application.access.scope import Scope
from corral.server.application.nodes.registry import Registry
from corral.server.application.nodes.sight import visible_node
from corral.server.application.ports.access import Caller
from corral.server.application.ports.nodes import NodeStore

WRITE: Final = "node.write"


class Labelling:
    """`deciding` knows the labels and groups that decide about access."""

    def __init__(self, *, fleet: Registry, store: NodeStore, deciding: Deciding | None = None) -> None:
        self._deciding = deciding or Deciding()
        self._scope = Scope(fleet)
        self._fleet = fleet
        self._store = store

    async def set_node(self, caller: Caller, node: str, change: Relabelling, *, if_match: int | None = None) -> Node:
        """Change one node. Raises Invalid, NotFound, or Conflict when `if_match` is not its version."""
        visible_node(self._fleet, self._scope, caller, node, WRITE)
        return (await self._set(caller, [node], change, if_match))[0]

    async def set_selected(self, caller: Caller, selector: str, change: Relabelling) -> list[Node]:
        """Change every node a selector picks. Raises Invalid, BadSelector, NothingMatched."""
        return await self._set(caller, self._fleet.resolve(selector), change, None)

    async def _set(self, caller: Caller, nodes: Sequence[str], change: Relabelling, if_match: int | None) -> list[Node]:
        change.check()
        self._scope.require(caller, (WRITE,), nodes, "change the nodes")
        await self._check_movement(caller, nodes, change)
        changed = await self._store.set_labels(nodes, change, if_match=if_match)
        return sorted((self._fleet.upsert(node) for node in changed), key=lambda node: node.id)

    async def _check_movement(self, caller: Caller, nodes: Sequence[str], change: Relabelling) -> None:
        """A label that grants stand on says who may command the node: changing it is granting, and asks for the same permission.

        And nobody moves a node to where he may not change it any more.
        """
        moved_groups: set[str] = set()
        for node in nodes:
            before = self._fleet.get(node).groups
            moved_groups |= before ^ change.groups_of(before)
        await self._deciding.check(caller, change.merge.keys() | change.remove, moved_groups, "change the nodes")
        where = caller.where(WRITE)
        if caller.grants is None or where == (EVERYWHERE,):
            return
        trees = [check_standing(selector) for selector in where]
        for node in nodes:
            have = self._fleet.get(node)
            moved = replace(have, labels=change.labels_of(have.labels), groups=change.groups_of(have.groups))
            if not any(matches(tree, moved) for tree in trees):
                raise Denied(
                    f"cannot change node {node!r}: after it, {caller.name!r} would have no {WRITE!r} there",
                    element="labels",
                    hint="ask somebody who may change it before and after",
                )
