"""The server's indexed view of the fleet, in memory: what every room asks about nodes; it never blocks.

SQL is the truth about records (labels, groups, facts, keys); the registry follows each write. Presence is the other way round: it
is known here first and written to SQL now and then. So `upsert` keeps the live presence of a node it knows, and only
`set_presence` and `saw` change that.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from corral.domain.errors import BadSelector, NotFound, NothingMatched
from corral.domain.node import Node, Presence
from corral.domain.selector.evaluate import Judged, matches
from corral.domain.selector.evaluate import explain as explain_clauses
from corral.domain.selector.parser import parse
from corral.domain.selector.plan import execute
from corral.domain.selector.standing import check_standing
from corral.domain.selector.tree import Named, leaves
from corral.server.application.nodes.changes import Changes, Subscription
from corral.server.application.nodes.index import NodeIndex

WITHIN_KEPT: Final = 256
"""Sets of nodes remembered for people's grants."""


class Registry:
    """Implements ports.fleet.Fleet. One event loop uses it; nothing in it awaits."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._seen: dict[str, datetime] = {}
        self._keys: dict[str, str] = {}
        self._index = NodeIndex()
        self._changes = Changes()
        self._within: dict[tuple[str, ...], tuple[int, frozenset[str]]] = {}

    # ── following the truth ──────────────────────────────────────────────────────────────────────────────────────────

    def load(self, nodes: Iterable[Node], *, known_before: Collection[str] | None = None) -> None:
        """Take over what SQL has, at start or again later: new ones enter, changed ones change, missing ones leave.

        Reading takes a moment. `known_before`: who was known when it began; whoever enrolled meanwhile stays, and a record
        that changed meanwhile is not set back.
        """
        wanted = sorted(nodes, key=lambda node: node.id)
        known = self._nodes.keys() if known_before is None else self._nodes.keys() & frozenset(known_before)
        for gone in known - {node.id for node in wanted}:
            self.remove(gone)
        for node in wanted:
            have = self._nodes.get(node.id)
            if have is None and known_before is not None and node.id in known_before:
                continue  # removed meanwhile
            if have is None or known_before is None or node.resource_version >= have.resource_version:
                self.upsert(node)

    def upsert(self, node: Node) -> Node:
        """Enter or replace a node's record. A known node keeps its live presence; the registry's view is returned."""
        before = self._nodes.get(node.id)
        if before is not None:
            node = replace(
                node,
                presence=before.presence,
                presence_since=before.presence_since,
                presence_reason=before.presence_reason,
                worker_down=before.worker_down,
                last_seen=before.last_seen,
            )
            if node == before:
                return self._current(before)
            self._forget_keys(before)
        self._nodes[node.id] = node
        for key in (node.daemon_key, node.worker_key):
            if key:
                self._keys[key] = node.id
        self._index.put(node, before)
        return self._tell(node)

    def remove(self, node: str) -> None:
        """Forget a node; unknown ones are no error."""
        before = self._nodes.pop(node, None)
        if before is None:
            return
        self._forget_keys(before)
        self._seen.pop(node, None)
        self._index.drop(before)
        self._changes.tell(node, None)

    def set_presence(
        self, node: str, presence: Presence, *, since: datetime, reason: str, worker_down: bool = False
    ) -> None:
        """What the presence decision says. `since` moves only when the presence really changes."""
        before = self._nodes.get(node)
        if before is None:
            return
        if before.presence is presence:
            since = before.presence_since or since
        after = replace(
            before, presence=presence, presence_since=since, presence_reason=reason, worker_down=worker_down
        )
        if after == before:
            return
        self._nodes[node] = after
        self._index.put_presence(node, presence)
        self._tell(after)

    def saw(self, nodes: Iterable[str], at: datetime) -> None:
        """These nodes gave a sign of life; changes `last_seen` alone and tells nobody."""
        self._seen.update(dict.fromkeys((node for node in nodes if node in self._nodes), at))

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, node: object) -> bool:
        return node in self._nodes

    def get(self, node: str) -> Node:
        """Raises NotFound."""
        found = self._nodes.get(node)
        if found is None:
            raise NotFound(
                f"cannot find node {node!r}: no such node is enrolled",
                element=node,
                hint="corral node list shows the fleet",
            )
        return self._current(found)

    def by_key(self, key: str) -> Node | None:
        """The node that enrolled with this user nkey."""
        node = self._keys.get(key)
        return None if node is None else self._current(self._nodes[node])

    def resolve(self, selector: str) -> Sequence[str]:
        """Sorted ids of the nodes a selector picks. Raises BadSelector, or NothingMatched for an empty set."""
        chosen = self.ids(selector)
        if not chosen:
            unknown = self.unknown(selector)
            cause = f"no such node: {', '.join(unknown[:5])}" if unknown else "no node meets it"
            raise NothingMatched(
                f"cannot select nodes by {selector[:200]!r}: {cause}",
                element="selector",
                hint="see the fleet with: corral node list; see why not with: corral why -t SELECTOR NODE",
            )
        return chosen

    def ids(self, selector: str) -> list[str]:
        """As `resolve`, but an empty set is an answer."""
        return self._index.ids(execute(parse(selector), self._index))

    def within(self, selectors: tuple[str, ...]) -> frozenset[str]:
        """The nodes any of these picks, remembered until an id, a label or a group changes. One that no grant may stand on picks none."""
        revision = self._index.revision
        known = self._within.get(selectors)
        if known is not None and known[0] == revision:
            return known[1]
        bits = 0
        for selector in selectors:
            try:
                bits |= execute(check_standing(selector), self._index)
            except BadSelector:
                continue
        if len(self._within) >= WITHIN_KEPT:
            self._within.clear()
        nodes = frozenset(self._index.ids(bits))
        self._within[selectors] = (revision, nodes)
        return nodes

    def select(self, selector: str) -> list[Node]:
        """The nodes a selector picks, sorted by id; may be empty. Raises BadSelector."""
        return [self._current(self._nodes[node]) for node in self.ids(selector)]

    def page(
        self, selector: str, *, presence: Presence | None = None, after: str = "", limit: int = 100
    ) -> tuple[list[Node], bool]:
        """The first `limit` of those nodes behind the id `after`, and whether there are more. Raises BadSelector."""
        chosen = self.ids(selector)
        behind = chosen[bisect_right(chosen, after) :]
        if presence is not None:
            behind = [node for node in behind if self._nodes[node].presence is presence]
        return [self._current(self._nodes[node]) for node in behind[:limit]], len(behind) > limit

    def unknown(self, selector: str, known: Container[str] | None = None) -> list[str]:
        """Ids the selector names that no node (of `known`) has: most often a slip of the pen."""
        named = [node for leaf in leaves(parse(selector)) if isinstance(leaf, Named) for node in leaf.ids]
        there: Container[str] = self._nodes if known is None else known
        return [node for node in dict.fromkeys(named) if node not in there]

    def explain(self, selector: str, node: str) -> tuple[bool, list[Judged]]:
        """Whether the selector picks the node, and every clause's own answer. Raises BadSelector, NotFound."""
        tree, found = parse(selector), self.get(node)
        return matches(tree, found), explain_clauses(tree, selector, found)

    def online(self, nodes: Collection[str]) -> frozenset[str]:
        known = self._nodes
        return frozenset(n for n in nodes if n in known and known[n].presence is Presence.ONLINE)

    def gone_since(self, before: datetime) -> frozenset[str]:
        """Nodes that are not online and have not been since before that moment (enrolled earlier, for the never seen)."""
        return frozenset(
            node.id
            for node in self._nodes.values()
            if node.presence is not Presence.ONLINE
            and (since := node.presence_since or node.enrolled_at) is not None
            and since < before
        )

    def counts(self) -> Mapping[str, int]:
        """For metrics and the first page: how many nodes, how many online, how many without a worker."""
        online = self._index.online().bit_count()
        return {
            "nodes": len(self._nodes),
            "online": online,
            "offline": len(self._nodes) - online,
            "worker_down": sum(node.worker_down for node in self._nodes.values()),
        }

    def subscribe(self) -> Subscription:
        """Changes from now on, for live views. Close it."""
        return self._changes.subscribe()

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _current(self, node: Node) -> Node:
        seen = self._seen.get(node.id)
        return node if seen is None else replace(node, last_seen=seen)

    def _forget_keys(self, node: Node) -> None:
        for key in (node.daemon_key, node.worker_key):
            if self._keys.get(key) == node.id:
                del self._keys[key]

    def _tell(self, node: Node) -> Node:
        current = self._current(node)
        self._changes.tell(node.id, current)
        return current
