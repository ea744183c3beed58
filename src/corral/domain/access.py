"""Who may do what, where: a grant is permissions x selector. Pure; the words themselves are the server's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

EVERYTHING: Final = "*"
EVERYWHERE: Final = "all"


@dataclass(frozen=True, kw_only=True)
class Grant:
    """`permissions` on the nodes of `selector`, which may speak of ids, labels and groups and never of facts."""

    permissions: frozenset[str]
    selector: str = EVERYWHERE
    role: str = ""
    """Whose permissions these are, and `id` which grant gives them: what people are told."""
    id: str = ""
    max_nodes: int | None = None
    """At most so many nodes in one submission."""

    def gives(self, permission: str) -> bool:
        return EVERYTHING in self.permissions or permission in self.permissions


def words(grants: Iterable[Grant]) -> frozenset[str]:
    """Every permission that is held on some node."""
    return frozenset(word for grant in grants for word in grant.permissions)


def selectors(grants: Iterable[Grant], permission: str) -> tuple[str, ...]:
    """Where `permission` is held: EVERYWHERE alone when nothing limits it, () when it is held nowhere."""
    found = dict.fromkeys(grant.selector for grant in grants if grant.gives(permission))
    return (EVERYWHERE,) if EVERYWHERE in found else tuple(found)
