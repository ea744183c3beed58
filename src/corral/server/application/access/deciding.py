"""The labels and groups that decide about access: those some grant, secret, connection or approval rule stands on.

Whoever changes one of them moves a node into or out of it, so changing them asks for what granting asks for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from corral.domain.errors import BadSelector
from corral.domain.selector.parser import parse
from corral.domain.selector.standing import groups_named, label_keys

Selectors = Callable[[], Awaitable[Iterable[str]]]


class Deciding:
    """`sources` give the selectors in use now."""

    def __init__(self, sources: Sequence[Selectors]) -> None:
        self._sources = sources

    async def __call__(self) -> tuple[frozenset[str], frozenset[str]]:
        """Label keys, groups."""
        keys: set[str] = set()
        groups: set[str] = set()
        for source in self._sources:
            for selector in set(await source()):
                try:
                    tree = parse(selector)
                except BadSelector:
                    continue
                keys |= label_keys(tree)
                groups |= groups_named(tree)
        return frozenset(keys), frozenset(groups)
