"""The labels and groups that decide about access: those some grant, secret, connection or approval rule stands on.

Whoever changes one of them moves a node into or out of it, so changing them asks for what granting asks for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from corral.domain.errors import BadSelector, Denied
from corral.domain.selector.parser import parse
from corral.domain.selector.standing import groups_named, label_keys
from corral.server.application.access.scope import holds_everywhere
from corral.server.application.ports.access import Caller

GRANTING: Final = "role.write"
Selectors = Callable[[], Awaitable[Iterable[str]]]


class Deciding:
    """`sources` give the selectors in use now."""

    def __init__(self, sources: Sequence[Selectors] = ()) -> None:
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

    async def check(self, caller: Caller, keys: Iterable[str], groups: Iterable[str], doing: str) -> None:
        """Raises Denied when one of them decides about access and the caller may not grant roles."""
        if holds_everywhere(caller, GRANTING):
            return
        decisive_keys, decisive_groups = await self()
        touched = [*sorted(decisive_keys & set(keys)), *sorted(decisive_groups & set(groups))]
        if touched:
            raise Denied(
                f"cannot {doing}: access is decided by {touched[0]!r}, and {caller.name!r} has no permission "
                f"{GRANTING!r} everywhere",
                element=GRANTING,
                hint="ask somebody who may grant roles; what stands on it: corral role grants",
            )
