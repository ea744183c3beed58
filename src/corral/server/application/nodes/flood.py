"""Notices a node that sends far more than it should: over ten times its expected rate, three seconds in a row.

The engine has no rate limit per user, so whoever reads a stream counts what each node sent and asks here. The rate has a floor:
a handful of messages a second is never a flood, however rare the kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from corral.runtime.clock import Clock

FACTOR: Final = 10.0
SECONDS: Final = 3
FLOOR_PER_SECOND: Final = 10.0


class FloodGuard:
    """Counts by (node, kind) in whole seconds. `expected` = kind → messages a second of a well-behaved node."""

    def __init__(self, clock: Clock, expected: Mapping[str, float]) -> None:
        self._clock = clock
        self._limits = {kind: max(FLOOR_PER_SECOND, FACTOR * rate) for kind, rate in expected.items()}
        self._second = int(clock.monotonic())
        self._counts: dict[tuple[str, str], int] = {}
        self._strikes: dict[tuple[str, str], int] = {}

    def count(self, kind: str, sent: Mapping[str, int]) -> list[tuple[str, str]]:
        """Add what nodes sent; the answer is whom to quarantine now, each with the reason to show."""
        guilty = self._close_second()
        for node, messages in sent.items():
            key = (node, kind)
            self._counts[key] = self._counts.get(key, 0) + messages
        return guilty

    def _close_second(self) -> list[tuple[str, str]]:
        second = int(self._clock.monotonic())
        passed = second - self._second
        if passed < 1:
            return []
        counts, self._counts, self._second = self._counts, {}, second
        strikes: dict[tuple[str, str], int] = {}
        guilty = []
        for (node, kind), messages in counts.items():
            rate, limit = messages / passed, self._limits[kind]
            if rate <= limit:
                continue
            strikes[node, kind] = self._strikes.get((node, kind), 0) + min(passed, SECONDS)
            if strikes[node, kind] >= SECONDS:
                guilty.append((node, f"flooding: {rate:.0f} {kind} messages a second, over the limit of {limit:g}"))
        self._strikes = strikes
        return guilty
