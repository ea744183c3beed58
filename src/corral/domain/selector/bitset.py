"""Sets of nodes as int bitsets, one bit a slot, and the postings that map values to them.

A value that a single node has (a boot id, a host name) is kept as that slot alone, written as a negative number: ten thousand
distinct values of ten thousand nodes are then small integers and not ten thousand bitsets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from typing import Generic, TypeVar

V = TypeVar("V")


class Postings(Generic[V]):
    """value → the set of slots that have it; the sets of different values need not be disjoint (groups)."""

    def __init__(self) -> None:
        self._sets: dict[V, int] = {}

    def __bool__(self) -> bool:
        return bool(self._sets)

    def __iter__(self) -> Iterator[V]:
        return iter(self._sets)

    def add(self, value: V, slot: int) -> None:
        held = self._sets.get(value)
        if held is None:
            self._sets[value] = ~slot
        elif held != ~slot:
            self._sets[value] = _bits(held) | 1 << slot

    def discard(self, value: V, slot: int) -> None:
        held = self._sets.get(value)
        if held is None:
            return
        left = _bits(held) & ~(1 << slot)
        if not left:
            del self._sets[value]
        elif left.bit_count() == 1:
            self._sets[value] = ~(left.bit_length() - 1)
        else:
            self._sets[value] = left

    def get(self, value: V) -> int:
        held = self._sets.get(value)
        return 0 if held is None else _bits(held)

    def union(self, chosen: Iterable[V]) -> int:
        """The slots that have any of these values (each must be present)."""
        sets = self._sets
        held = [sets[value] for value in chosen]
        single = [~entry for entry in held if entry < 0]
        bits = gather(single)
        for entry in held:
            if entry >= 0:
                bits |= entry
        return bits


def _bits(held: int) -> int:
    return held if held >= 0 else 1 << ~held


def gather(slots: Sequence[int]) -> int:
    """The bitset of these slots; one pass, however many they are."""
    if len(slots) < 8:
        bits = 0
        for slot in slots:
            bits |= 1 << slot
        return bits
    array = bytearray((max(slots) >> 3) + 1)
    for slot in slots:
        array[slot >> 3] |= 1 << (slot & 7)
    return int.from_bytes(array, "little")


def members(bits: int, names: Sequence[str]) -> list[str]:
    """The names of the set slots, in the order of slots."""
    return list(compress(names, map("1".__eq__, bin(bits)[:1:-1])))
