"""A selector as operations on int bitsets: and, or, not are single machine-word loops over the whole fleet.

Each distinct value is compared once, however many nodes have it. `Index` is what the registry keeps; nothing here knows how.
"""

from __future__ import annotations

from typing import Protocol

from corral.domain.selector import values
from corral.domain.selector.bitset import Postings
from corral.domain.selector.evaluate import value_meets
from corral.domain.selector.tree import (
    And,
    Compare,
    Everything,
    Has,
    InGroup,
    Leaf,
    Matches,
    Named,
    Not,
    OneOf,
    Online,
    Or,
    Source,
    Tree,
)


class Index(Protocol):
    """The fleet, inverted. Every method answers with a bitset or with postings of canonical values."""

    def everything(self) -> int: ...

    def online(self) -> int: ...

    def named(self, node: str) -> int: ...

    def globbed(self, glob: str) -> int: ...

    def group(self, name: str) -> int: ...

    def having(self, source: Source, key: str) -> int: ...

    def values(self, source: Source, key: str) -> Postings[values.Value]: ...


def execute(tree: Tree, index: Index) -> int:
    """The bitset of the nodes the selector picks."""
    if isinstance(tree, Not):
        return index.everything() & ~execute(tree.term, index)
    if isinstance(tree, And):
        bits = index.everything()
        for term in tree.terms:
            bits &= execute(term, index)
            if not bits:
                break
        return bits
    if isinstance(tree, Or):
        bits = 0
        for term in tree.terms:
            bits |= execute(term, index)
        return bits
    return _leaf(tree, index)


def _leaf(leaf: Leaf, index: Index) -> int:
    if isinstance(leaf, Everything):
        return index.everything()
    if isinstance(leaf, Online):
        return index.online() if leaf.connected else index.everything() & ~index.online()
    if isinstance(leaf, Named):
        bits = 0
        for node in leaf.ids:
            bits |= index.named(node)
        for glob in leaf.globs:
            bits |= index.globbed(glob)
        return bits
    if isinstance(leaf, InGroup):
        return _unless(leaf.negated, index.group(leaf.group), index)
    if isinstance(leaf, Has):
        return index.having(leaf.source, leaf.key)
    postings = index.values(leaf.source, leaf.key)
    if isinstance(leaf, OneOf):
        bits = 0
        for literal in leaf.values:
            bits |= _equal(postings, literal)
        return _unless(leaf.negated, bits, index)
    if isinstance(leaf, Matches):
        search, text_of = leaf.search, values.text_of
        return postings.union([value for value in postings if search(text_of(value))])
    return _compare(leaf, postings, index)


def _compare(leaf: Compare, postings: Postings[values.Value], index: Index) -> int:
    if leaf.operator == "!=":  # absence is unlike everything, so take away what is like
        return _unless(True, postings.union([value for value in postings if not value_meets(leaf, value)]), index)
    if leaf.operator == "==" and not leaf.by_version:
        return _equal(postings, leaf.value)
    return postings.union([value for value in postings if value_meets(leaf, value)])


def _equal(postings: Postings[values.Value], literal: values.Value) -> int:
    if not isinstance(literal, str):
        return postings.union([value for value in postings if values.equal(value, literal)])
    bits = postings.get(literal)
    number = values.number_of(literal)
    if number is not None and values.text_of(number) == literal:
        bits |= postings.get(number)
    return bits


def _unless(negated: bool, bits: int, index: Index) -> int:
    return index.everything() & ~bits if negated else bits
