"""Labels and groups belong to the server: changed at once, for offline nodes too. Labels merge, groups are replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from corral.domain.errors import Invalid
from corral.domain.node import Node, check_group, check_label
from corral.server.application.nodes.registry import Registry
from corral.server.application.ports.access import Caller
from corral.server.application.ports.nodes import NodeStore


class Labelling:
    def __init__(self, *, fleet: Registry, store: NodeStore) -> None:
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
        self._fleet.get(node)
        return (await self._set([node], labels, groups, if_match))[0]

    async def set_selected(
        self,
        caller: Caller,
        selector: str,
        *,
        labels: Mapping[str, str | None] | None = None,
        groups: Sequence[str] | None = None,
    ) -> list[Node]:
        """Change every node a selector picks. Raises BadSelector, NothingMatched."""
        return await self._set(self._fleet.resolve(selector), labels, groups, None)

    async def _set(
        self,
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
        changed = await self._store.set_labels(
            nodes,
            merge=merge,
            remove=remove,
            groups=None if groups is None else frozenset(groups),
            if_match=if_match,
        )
        return sorted((self._fleet.upsert(node) for node in changed), key=lambda node: node.id)
