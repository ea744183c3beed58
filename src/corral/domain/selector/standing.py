"""Selectors a grant may stand on: ids, globs, labels, groups and `all`, which belong to the server.

Facts are a node's own claim and presence is its doing: with either in a grant, a machine would choose who may command it.
`implies` is sound and not complete: when it says yes, every node the narrow one can ever pick is one the wide one picks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from corral.domain.errors import BadSelector
from corral.domain.selector.glob import glob_matches
from corral.domain.selector.parser import parse
from corral.domain.selector.tree import (
    And,
    Compare,
    Everything,
    Has,
    InGroup,
    Leaf,
    Literal,
    Matches,
    Named,
    Not,
    OneOf,
    Online,
    Or,
    Source,
    Tree,
    leaves,
)

_HINT: Final = 'use ids, globs, labels["..."], groups or all: those belong to the server'


def check_standing(text: str) -> Tree:
    """The tree; raises BadSelector at the column of the first clause that no grant may use."""
    tree = parse(text)
    for leaf in leaves(tree):
        if why := _moves(leaf):
            column = leaf.start + 1
            raise BadSelector(
                f"cannot grant by {text[leaf.start : leaf.end][:80]!r} at column {column}: {why}",
                text=text,
                column=column,
                hint=_HINT,
            )
    return tree


def _moves(leaf: Leaf) -> str:
    """Why a clause may not be in a grant; empty when it may."""
    if isinstance(leaf, Online):
        return "whether a node is connected is its own doing"
    if isinstance(leaf, (Has, Compare, OneOf, Matches)) and leaf.source is not Source.LABELS:
        return "a fact is what the node says of itself"
    return ""


def label_keys(tree: Tree) -> frozenset[str]:
    """The labels that decide: whoever may change one moves nodes into or out of what stands on it."""
    return frozenset(
        leaf.key
        for leaf in leaves(tree)
        if isinstance(leaf, (Has, Compare, OneOf, Matches)) and leaf.source is Source.LABELS
    )


def groups_named(tree: Tree) -> frozenset[str]:
    return frozenset(leaf.group for leaf in leaves(tree) if isinstance(leaf, InGroup))


def implies(narrow: Tree, wide: Tree) -> bool:
    """Whether `wide` surely picks whatever `narrow` picks, in any fleet there can be."""
    return _Implication().holds(narrow, wide)


class _Implication:
    """Each pair of terms is compared once, or nested ands against nested ors would take forever."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], bool] = {}

    def holds(self, narrow: Tree, wide: Tree) -> bool:
        pair = (id(narrow), id(wide))
        found = self._known.get(pair)
        if found is None:
            found = self._known[pair] = self._holds(narrow, wide)
        return found

    def _holds(self, narrow: Tree, wide: Tree) -> bool:
        if isinstance(wide, Everything) or narrow == wide:
            return True
        if isinstance(narrow, Or):
            return all(self.holds(term, wide) for term in narrow.terms)
        if isinstance(wide, And):
            return all(self.holds(narrow, term) for term in wide.terms)
        if isinstance(narrow, And) and any(self.holds(term, wide) for term in narrow.terms):
            return True
        if isinstance(wide, Or):
            return any(self.holds(narrow, term) for term in wide.terms)
        if isinstance(narrow, Not) and isinstance(wide, Not):
            return self.holds(wide.term, narrow.term)
        if isinstance(narrow, (Not, And)) or isinstance(wide, Not):
            return False
        return _leaf_implies(narrow, wide)


def _leaf_implies(narrow: Leaf, wide: Leaf) -> bool:
    if isinstance(narrow, Named) and isinstance(wide, Named):
        ids = all(node in wide.ids or any(glob_matches(g, node) for g in wide.globs) for node in narrow.ids)
        return ids and set(narrow.globs) <= set(wide.globs)
    if not isinstance(narrow, (Compare, OneOf, Matches)) or not isinstance(wide, (Has, Compare, OneOf)):
        return False
    if (narrow.source, narrow.key) != (wide.source, wide.key):
        return False
    values = _only(narrow)
    if isinstance(wide, Has):
        return values is not None or isinstance(narrow, Matches)
    allowed = _only(wide)
    return values is not None and allowed is not None and set(values) <= set(allowed)


def _only(leaf: Leaf) -> Sequence[Literal] | None:
    """The values a clause lets through, when it is a list of them."""
    if isinstance(leaf, Compare):
        return (leaf.value,) if leaf.operator == "==" and not leaf.by_version else None
    return leaf.values if isinstance(leaf, OneOf) and not leaf.negated else None
