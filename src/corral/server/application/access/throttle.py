"""What slows down guessing: after so many failures an address (and name) waits, each time twice as long. Pure: `now` comes in."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from corral.domain.errors import TooMany

_LONGEST_SECONDS: Final = 3600.0
_FORGET_SECONDS: Final = 3600.0
_KEPT_MAX: Final = 10_000


@dataclass
class _Failures:
    count: int = 0
    lockouts: int = 0
    until: float = 0.0
    last: float = 0.0


class LoginThrottle:
    """Counts failed logins per key. Memory is bounded: the oldest of 10,000 keys is forgotten."""

    def __init__(self, *, attempts: int = 5, lockout_seconds: float = 30.0) -> None:
        self._attempts = attempts
        self._lockout_seconds = lockout_seconds
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()

    def check(self, address: str, name: str, *, now: float) -> None:
        """Raises TooMany while the key is locked out, whatever it offers now."""
        found = self._failures.get((address, name))
        if found is not None and found.until > now:
            seconds = int(found.until - now) + 1
            raise TooMany(
                f"cannot log in: too many failed attempts, locked for {seconds} s",
                element="login",
                hint=f"try again in {seconds} s; a new login link comes from 'corral login --link'",
            )

    def failed(self, address: str, name: str, *, now: float) -> None:
        key = (address, name)
        found = self._failures.pop(key, None)
        if found is None or now - found.last > _FORGET_SECONDS:
            found = _Failures()
        found.count += 1
        found.last = now
        if found.count >= self._attempts:
            found.until = now + min(_LONGEST_SECONDS, self._lockout_seconds * 2.0**found.lockouts)
            found.lockouts = min(found.lockouts + 1, 20)
            found.count = 0
        self._failures[key] = found
        while len(self._failures) > _KEPT_MAX:
            self._failures.popitem(last=False)

    def succeeded(self, address: str, name: str) -> None:
        self._failures.pop((address, name), None)
