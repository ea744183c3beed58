"""The fleet inverted: one slot (bit) a node, one bitset a label, group, fact value and presence, kept as nodes change.

A change touches only the postings it changes. Slots of removed nodes are used again. Not shared between threads.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping
from typing import Any, Final

from corral.domain.node import Node, Presence
from corral.domain.selector.bitset import Postings, gather, members
from corral.domain.selector.glob import compile_glob, literal_prefix
from corral.domain.selector.tree import Source
from corral.domain.selector.values import Value, canonical

_NOTHING: Final[Postings[Value]] = Postings()


class NodeIndex:
    """Implements domain.selector.plan.Index."""

    def __init__(self) -> None:
        self._slots: dict[str, int] = {}
        self._names: list[str] = []
        self._free: list[int] = []
        self._sorted: list[str] = []
        self._all = 0
        self._online = 0
        self._groups: Postings[str] = Postings()
        self._fields: dict[tuple[Source, str], Postings[Value]] = {}
        self._having: dict[tuple[Source, str], int] = {}
        self.revision = 0
        """Moves with ids, labels and groups, which grants stand on; not with facts and presence, which change all the time."""

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def put(self, node: Node, before: Node | None) -> None:
        """Index `node`; `before` is what was indexed under its id (None = nothing)."""
        slot = self._slots.get(node.id)
        if slot is None:
            slot = self._take_slot(node.id)
        self._put_groups(slot, node.groups, before.groups if before else frozenset())
        self._put_fields(slot, Source.LABELS, node.labels, before.labels if before else {})
        self._put_fields(slot, Source.FACTS, node.facts, before.facts if before else {})
        self.put_presence(node.id, node.presence)

    def put_presence(self, node: str, presence: Presence) -> None:
        bit = 1 << self._slots[node]
        if presence is Presence.ONLINE:
            self._online |= bit
        else:
            self._online &= ~bit

    def drop(self, node: Node) -> None:
        slot = self._slots.pop(node.id)
        self._put_groups(slot, frozenset(), node.groups)
        self._put_fields(slot, Source.LABELS, {}, node.labels)
        self._put_fields(slot, Source.FACTS, {}, node.facts)
        bit = 1 << slot
        self._all &= ~bit
        self._online &= ~bit
        del self._sorted[bisect_left(self._sorted, node.id)]
        self._names[slot] = ""
        self._free.append(slot)
        self.revision += 1

    def _take_slot(self, node: str) -> int:
        if self._free:
            slot = self._free.pop()
            self._names[slot] = node
        else:
            slot = len(self._names)
            self._names.append(node)
        self._slots[node] = slot
        self._all |= 1 << slot
        insort(self._sorted, node)
        self.revision += 1
        return slot

    def _put_groups(self, slot: int, new: frozenset[str], old: frozenset[str]) -> None:
        self.revision += new != old
        for group in old - new:
            self._groups.discard(group, slot)
        for group in new - old:
            self._groups.add(group, slot)

    def _put_fields(self, slot: int, source: Source, new: Mapping[str, Any], old: Mapping[str, Any]) -> None:
        if new is old:
            return
        for key in {*new, *old}:
            is_now, was = canonical(new.get(key)), canonical(old.get(key))
            if is_now == was:
                continue
            self.revision += source is Source.LABELS
            field = (source, key)
            postings = self._fields.get(field)
            if postings is None:
                postings = self._fields[field] = Postings()
            if was is not None:
                postings.discard(was, slot)
            if is_now is not None:
                postings.add(is_now, slot)
            if was is None:
                self._having[field] = self._having.get(field, 0) | 1 << slot
            elif is_now is None:
                self._having[field] &= ~(1 << slot)
            if not postings:
                del self._fields[field], self._having[field]

    # ── asking (domain.selector.plan.Index) ──────────────────────────────────────────────────────────────────────────

    def everything(self) -> int:
        return self._all

    def online(self) -> int:
        return self._online

    def named(self, node: str) -> int:
        slot = self._slots.get(node)
        return 0 if slot is None else 1 << slot

    def globbed(self, glob: str) -> int:
        prefix, prefix_decides = literal_prefix(glob)
        low = bisect_left(self._sorted, prefix)
        high = bisect_left(self._sorted, prefix + "\x7f") if prefix else len(self._sorted)
        candidates = self._sorted[low:high]
        if not prefix_decides:
            candidates = list(filter(compile_glob(glob), candidates))
        slots = self._slots
        return gather([slots[node] for node in candidates])

    def group(self, name: str) -> int:
        return self._groups.get(name)

    def having(self, source: Source, key: str) -> int:
        return self._having.get((source, key), 0)

    def values(self, source: Source, key: str) -> Postings[Value]:
        return self._fields.get((source, key), _NOTHING)

    def ids(self, bits: int) -> list[str]:
        """The sorted ids in a bitset."""
        if bits == self._all:
            return self._sorted.copy()
        return sorted(members(bits, self._names))
