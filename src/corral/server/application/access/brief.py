"""What is asked at every request and may be a second old: remembered that long, forgotten at once when it changes here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from corral.runtime.clock import Clock

T = TypeVar("T")
KEPT_SECONDS: Final = 1.0
_KEPT_MAX: Final = 10_000


class Brief(Generic[T]):
    """Answers of `load` by key."""

    def __init__(self, load: Callable[[str], Awaitable[T]], *, clock: Clock, seconds: float = KEPT_SECONDS) -> None:
        self._load = load
        self._clock = clock
        self._seconds = seconds
        self._known: dict[str, tuple[float, T]] = {}
        self._changes = 0

    async def get(self, key: str) -> T:
        now = self._clock.monotonic()
        known = self._known.get(key)
        if known is not None and now < known[0]:
            return known[1]
        changes = self._changes
        found = await self._load(key)
        # What was read before a change must not outlive it.
        if changes == self._changes:
            if len(self._known) >= _KEPT_MAX:
                self._known.clear()
            self._known[key] = (now + self._seconds, found)
        return found

    def forget(self, key: str) -> None:
        self._changes += 1
        self._known.pop(key, None)
