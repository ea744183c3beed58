"""The nodes a caller sees: what lies outside his grants is not found, whatever is asked about it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from corral.domain.errors import NotFound, NothingMatched
from corral.domain.node import Node, Presence
from corral.domain.selector.evaluate import Judged
from corral.server.application.access.scope import ALL, Nodes, Scope
from corral.server.application.nodes.registry import Registry
from corral.server.application.ports.access import Caller

READ: Final = "node.read"


class NodeSight:
    """Use case: the registry as one caller sees it."""

    def __init__(self, fleet: Registry) -> None:
        self._fleet = fleet
        self._scope = Scope(fleet)

    def allowed(self, caller: Caller) -> Nodes:
        return self._scope.allowed(caller, READ)

    def get(self, caller: Caller, node: str) -> Node:
        """Raises NotFound."""
        return visible_node(self._fleet, self._scope, caller, node, READ)

    def page(
        self, caller: Caller, selector: str, *, presence: Presence | None, after: str, limit: int
    ) -> tuple[list[Node], bool]:
        """As Registry.page, of the nodes inside."""
        allowed = self.allowed(caller)
        if allowed is ALL:
            return self._fleet.page(selector, presence=presence, after=after, limit=limit)
        chosen = [node for node in self._fleet.ids(selector) if node in allowed]
        behind = [self._fleet.get(node) for node in chosen[bisect_right(chosen, after) :]]
        found = [node for node in behind if presence is None or node.presence is presence]
        return found[:limit], len(found) > limit

    def resolve(self, caller: Caller, selector: str) -> tuple[Sequence[str], Sequence[str]]:
        """The ids a selector picks, and those it names that no node has. Raises BadSelector, NothingMatched."""
        allowed = self.allowed(caller)
        if allowed is ALL:
            return self._fleet.resolve(selector), self._fleet.unknown(selector)
        chosen = [node for node in self._fleet.ids(selector) if node in allowed]
        if not chosen:
            raise NothingMatched(
                f"cannot select nodes by {selector[:200]!r}: no node inside your grants meets it",
                element="selector",
                hint="see where you may what with: corral can-i --list",
            )
        return chosen, self._fleet.unknown(selector, allowed)

    def explain(self, caller: Caller, selector: str, node: str) -> tuple[bool, list[Judged]]:
        """Raises BadSelector, NotFound."""
        self.get(caller, node)
        return self._fleet.explain(selector, node)


def visible_node(fleet: Registry, scope: Scope, caller: Caller, node: str, permission: str) -> Node:
    """Raises NotFound for a node that is not there, or on which the caller has neither `permission` nor node.read."""
    if node not in scope.allowed(caller, permission, READ):
        raise NotFound(
            f"cannot find node {node!r}: no such node is enrolled",
            element=node,
            hint="corral node list shows the fleet",
        )
    return fleet.get(node)
