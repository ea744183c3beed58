"""A selector against one node, clause by clause: what `explain` shows, and what the index is tested against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from corral.domain.node import Node, Presence
from corral.domain.selector import values
from corral.domain.selector.glob import glob_matches
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
    leaves,
)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One clause of a selector, whether this node meets it, and what the node has instead (`actual`)."""

    text: str
    value: bool
    actual: str


def matches(tree: Tree, node: Node) -> bool:
    """Whether the selector picks the node."""
    if isinstance(tree, Not):
        return not matches(tree.term, node)
    if isinstance(tree, And):
        return all(matches(term, node) for term in tree.terms)
    if isinstance(tree, Or):
        return any(matches(term, node) for term in tree.terms)
    return leaf_matches(tree, node)


def explain(tree: Tree, text: str, node: Node) -> list[Judged]:
    """Every clause in the order of the text."""
    return [
        Judged(text=text[leaf.start : leaf.end], value=leaf_matches(leaf, node), actual=_actual(leaf, node))
        for leaf in leaves(tree)
    ]


def leaf_matches(leaf: Leaf, node: Node) -> bool:
    if isinstance(leaf, Everything):
        return True
    if isinstance(leaf, Named):
        return node.id in leaf.ids or any(glob_matches(glob, node.id) for glob in leaf.globs)
    if isinstance(leaf, Online):
        return (node.presence is Presence.ONLINE) is leaf.connected
    if isinstance(leaf, InGroup):
        return (leaf.group in node.groups) is not leaf.negated
    value = values.canonical(_field(node, leaf.source).get(leaf.key))
    if isinstance(leaf, Has):
        return value is not None
    if isinstance(leaf, OneOf):
        return (value is not None and any(values.equal(value, literal) for literal in leaf.values)) is not leaf.negated
    if isinstance(leaf, Matches):
        return value is not None and leaf.search(values.text_of(value))
    return value_meets(leaf, value)


def value_meets(leaf: Compare, value: values.Value | None) -> bool:
    """A comparison, given the canonical value of its field (None = the node has none)."""
    if leaf.by_version:
        return values.compare_version(value, leaf.operator, str(leaf.value))
    return values.compare(value, leaf.operator, leaf.value)


def _field(node: Node, source: Source) -> Any:
    return node.labels if source is Source.LABELS else node.facts


def _actual(leaf: Leaf, node: Node) -> str:
    if isinstance(leaf, Online):
        return node.presence.value
    if isinstance(leaf, InGroup):
        return "groups: " + (", ".join(sorted(node.groups)) or "none")
    if isinstance(leaf, (Everything, Named)):
        return node.id
    value = values.canonical(_field(node, leaf.source).get(leaf.key))
    return f"no {leaf.source.value}[{leaf.key!r}]" if value is None else repr(value)
