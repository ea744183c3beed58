"""What a selector means: frozen nodes of a small tree. Leaves (clauses) carry the span of their source text.

Meaning of absence, the same everywhere: a comparison with a label or fact the node does not have is false, and `!=` and
`not in` are exactly the negation of `==` and `in` (so they are true of a node without it). `offline` is every node that is not online.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

Literal: TypeAlias = str | int | float


class Source(StrEnum):
    LABELS = "labels"
    FACTS = "facts"


@dataclass(frozen=True, kw_only=True)
class Clause:
    """A leaf: [start, end) is its text in the selector."""

    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


@dataclass(frozen=True, kw_only=True)
class Everything(Clause):
    """all, true"""


@dataclass(frozen=True, kw_only=True)
class Named(Clause):
    """A comma list of ids and globs."""

    ids: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Online(Clause):
    """online (`connected`), offline (not)."""

    connected: bool


@dataclass(frozen=True, kw_only=True)
class InGroup(Clause):
    """ "g" in groups, "g" not in groups"""

    group: str
    negated: bool = False


@dataclass(frozen=True, kw_only=True)
class Has(Clause):
    """has labels["k"]"""

    source: Source
    key: str


@dataclass(frozen=True, kw_only=True)
class Compare(Clause):
    """labels["k"] <operator> value. `by_version` compares as version numbers."""

    source: Source
    key: str
    operator: str
    value: Literal
    by_version: bool = False


@dataclass(frozen=True, kw_only=True)
class OneOf(Clause):
    """labels["k"] in ["a", "b"], not in"""

    source: Source
    key: str
    values: tuple[Literal, ...]
    negated: bool = False


@dataclass(frozen=True, kw_only=True)
class Matches(Clause):
    """labels["k"] =~ "pattern"; `search` is the injected linear-time matcher, made for this pattern."""

    source: Source
    key: str
    pattern: str
    search: Callable[[str], bool] = field(compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Not:
    term: Tree


@dataclass(frozen=True, kw_only=True)
class And:
    terms: tuple[Tree, ...]


@dataclass(frozen=True, kw_only=True)
class Or:
    terms: tuple[Tree, ...]


Leaf: TypeAlias = Everything | Named | Online | InGroup | Has | Compare | OneOf | Matches
Tree: TypeAlias = Leaf | Not | And | Or


def leaves(tree: Tree) -> list[Leaf]:
    """The clauses in the order of the text."""
    if isinstance(tree, Not):
        return leaves(tree.term)
    if isinstance(tree, (And, Or)):
        return [leaf for term in tree.terms for leaf in leaves(term)]
    return [tree]
