"""Notices a credential in use twice: two links of one key at the same time, for longer than a dead one takes to be noticed.

A node has one link for each key. A second one is normal for a moment (a machine that lost its network connects anew while the engine
still believes in the old link), so both must have been there for HELD_SECONDS. What remains is a copied credential, or a copied
machine; both are a person's to decide, so this only says it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HELD_SECONDS: Final = 90.0
"""The engine gives up on a silent link after two pings, 40 to 60 s."""


@dataclass(frozen=True, slots=True)
class _Link:
    host: str
    since: float


class DoubleWatch:
    """`up` and `down` follow the links; `doubled` says who has two now."""

    def __init__(self, held_seconds: float = HELD_SECONDS) -> None:
        self._held = held_seconds
        self._links: dict[str, dict[str, _Link]] = {}

    def up(self, key: str, link: str, host: str, now: float) -> None:
        """`link` names this one connection of the key."""
        self._links.setdefault(key, {})[link] = _Link(host, now)

    def down(self, key: str, link: str) -> None:
        links = self._links.get(key)
        if links is not None and links.pop(link, None) is not None and not links:
            del self._links[key]

    def clear(self) -> None:
        """The engine was away: every link begins anew."""
        self._links.clear()

    def doubled(self, now: float) -> dict[str, str]:
        """Key → what to say of it, for every key in use more than once for long enough."""
        found = {}
        for key, links in self._links.items():
            lasting = [link for link in links.values() if now - link.since >= self._held]
            if len(lasting) > 1:
                hosts = sorted({link.host for link in lasting})
                found[key] = f"its credential is in use {len(lasting)} times at once, from {', '.join(hosts)}"
        return found
