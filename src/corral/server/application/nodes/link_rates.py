"""Notices a link that sends far too much, whatever it sends: output, questions, or what the engine refuses anyway.

Floods of the kinds a server reads one by one are seen where they are read (flood.py). This sees the rest, from how many messages
the engine has received on each link. The limit is above what a node with all its slots printing can send.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LIMIT_PER_SECOND: Final = 10_000.0
SECONDS: Final = 3.0


@dataclass(slots=True)
class _Seen:
    sent: int
    at: float
    over_since: float | None = None
    over_from: int = 0


class LinkRates:
    """`look` takes key → messages received since its link began; the answer is who was over the limit all the time."""

    def __init__(self, limit_per_second: float = LIMIT_PER_SECOND, seconds: float = SECONDS) -> None:
        self._limit = limit_per_second
        self._seconds = seconds
        self._seen: dict[str, _Seen] = {}

    def look(self, sent: Mapping[str, int], now: float) -> dict[str, float]:
        """Key → messages a second, for every key that has been over the limit for long enough."""
        guilty = {}
        seen: dict[str, _Seen] = {}
        for key, count in sent.items():
            before = self._seen.get(key)
            after = seen[key] = _Seen(count, now)
            if before is None or now <= before.at or (count - before.sent) / (now - before.at) <= self._limit:
                continue
            since = before.over_since
            after.over_since, after.over_from = (before.at, before.sent) if since is None else (since, before.over_from)
            held = now - after.over_since
            if held >= self._seconds:
                guilty[key] = (count - after.over_from) / held
        self._seen = seen
        return guilty

    def forget(self) -> None:
        """Nothing was over the limit, or nobody looked: begin anew."""
        self._seen.clear()
