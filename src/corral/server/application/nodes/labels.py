"""Labels and groups belong to the server: changed at once, for offline nodes too. Labels merge, groups are replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from corral.domain.access import EVERYWHERE
from corral.domain.errors import Denied, Invalid
from corral.domain.node import Node, check_group, check_label
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

    async def set_node(
        self,
        caller: Caller,
        node: str,
        *,
        labels: Mapping[str, str | None] | None = None,
        groups: Sequence[str] | None = None,
        if_match: int | None = None,
    ) -> Node:
        """Change one node; a label of None is removed. Raises NotFound, or Conflict when `if_match` is not its version."""
        visible_node(self._fleet, self._scope, caller, node, WRITE)
        return (await self._set(caller, [node], labels, groups, if_match))[0]

    async def set_selected(
        self,
        caller: Caller,
        selector: str,
        *,
        labels: Mapping[str, str | None] | None = None,
        groups: Sequence[str] | None = None,
    ) -> list[Node]:
        """Change every node a selector picks. Raises BadSelector, NothingMatched."""
        return await self._set(caller, self._fleet.resolve(selector), labels, groups, None)

    async def _set(
        self,
        caller: Caller,
        nodes: Sequence[str],
        labels: Mapping[str, str | None] | None,
        groups: Sequence[str] | None,
        if_match: int | None,
    ) -> list[Node]:
        if labels is None and groups is None:
            raise Invalid(
                "cannot change the node: expected labels or groups",
                element="labels",
                hint="example: corral node set web-1 --labels role=web,old- --groups canary",
            )
        merge = {key: value for key, value in (labels or {}).items() if value is not None}
        remove = frozenset(key for key, value in (labels or {}).items() if value is None)
        for key, value in merge.items():
            check_label(key, value)
        for group in groups or ():
            check_group(group)
        self._scope.require(caller, (WRITE,), nodes, "change the nodes")
        await self._check_movement(caller, nodes, merge, remove, groups)
        changed = await self._store.set_labels(
            nodes,
            merge=merge,
            remove=remove,
            groups=None if groups is None else frozenset(groups),
            if_match=if_match,
        )
        return sorted((self._fleet.upsert(node) for node in changed), key=lambda node: node.id)

    async def _check_movement(
        self,
        caller: Caller,
        nodes: Sequence[str],
        merge: Mapping[str, str],
        remove: frozenset[str],
        groups: Sequence[str] | None,
    ) -> None:
        """A label that grants stand on says who may command the node: changing it is granting, and asks for the same permission.

        And nobody moves a node to where he may not change it any more.
        """
        moved_groups: set[str] = set()
        if groups is not None:
            moved_groups = set().union(*(self._fleet.get(node).groups ^ frozenset(groups) for node in nodes))
        await self._deciding.check(caller, merge.keys() | remove, moved_groups, "change the nodes")
        where = caller.where(WRITE)
        if caller.grants is None or where == (EVERYWHERE,):
            return
        trees = [check_standing(selector) for selector in where]
        for node in nodes:
            have = self._fleet.get(node)
            kept = {key: value for key, value in have.labels.items() if key not in remove}
            moved = replace(
                have, labels=kept | dict(merge), groups=have.groups if groups is None else frozenset(groups)
            )
            if not any(matches(tree, moved) for tree in trees):
                raise Denied(
                    f"cannot change node {node!r}: after it, {caller.name!r} would have no {WRITE!r} there",
                    element="labels",
                    hint="ask somebody who may change it before and after",
                )
