"""What other rooms may ask the registry: which nodes a selector picks, and who is there now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from corral.domain.node import Node


class Fleet(Protocol):
    """The server's indexed view of nodes, in memory; never blocks."""

    def resolve(self, selector: str) -> Sequence[str]:
        """Sorted ids of the nodes a selector picks. Raises BadSelector, or NothingMatched for an empty set."""
        ...

    def online(self, nodes: Collection[str]) -> frozenset[str]:
        """Those of `nodes` whose daemon is connected."""
        ...

    def get(self, node: str) -> Node:
        """Raises NotFound."""
        ...

    def gone_since(self, before: datetime) -> frozenset[str]:
        """Nodes that have been offline since before that moment."""
        ...


class Standing(Protocol):
    """Where a grant holds."""

    def within(self, selectors: tuple[str, ...]) -> frozenset[str]:
        """The nodes any of the selectors picks, by what belongs to the server: ids, labels, groups."""
        ...
