"""What slows down guessing: failed logins of a name, and from an address, counted in SQL so that every server counts alike.

An attempt is counted before it is looked at, so that a hundred guesses at once are a hundred; success takes it back. While a key is
locked nothing it offers is looked at and nothing is counted: nobody is kept out for longer than the longest lock by somebody who
goes on knocking. Sessions and API tokens that exist are not touched. Who is locked is remembered here for some seconds: a flood at
the door costs no transaction.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from corral.domain.errors import TooMany
from corral.runtime.clock import Clock
from corral.server.application.ports.people import Attempts, AttemptStore

LONGEST_SECONDS: Final = 900.0
FORGET_SECONDS: Final = 3600.0
_SWEEP_SECONDS: Final = 300.0
_DOUBLINGS_MAX: Final = 20
_REMEMBER_SECONDS: Final = 5.0
_REMEMBERED_MAX: Final = 10_000
ADDRESS_FACTOR: Final = 4
"""Behind one address there may be an office."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """After `attempts` failures a name waits `lockout_seconds`, each further time twice as long."""

    attempts: int = 5
    lockout_seconds: float = 30.0


class Lockout:
    """`begin` an attempt, then say `succeeded`, or nothing."""

    def __init__(self, *, store: AttemptStore, clock: Clock, patience: Patience | None = None) -> None:
        self._store = store
        self._clock = clock
        self._patience = patience or Patience()
        self._swept = clock.monotonic()
        self._refused: dict[str, tuple[float, float]] = {}
        """Key → how long we go by it, and until when it is locked."""

    async def begin(self, *, address: str, name: str = "") -> None:
        """Raises TooMany while the name or the address is locked."""
        now = self._clock.wall()
        limits = self._limits(address, name)
        known_for, until = max(self._refused.get(key, (0.0, 0.0)) for key in limits)
        if now < known_for <= now + _REMEMBER_SECONDS:
            raise locked(until - now)
        await self._sweep()

        def count(known: Mapping[str, Attempts]) -> Mapping[str, Attempts]:
            key, found = max(known.items(), key=lambda item: item[1].until)
            if found.until > now:
                self._remember(key, (min(found.until, now + _REMEMBER_SECONDS), found.until))
                raise locked(found.until - now)
            return {
                key: counted(known.get(key, Attempts()), now=now, limit=limit, patience=self._patience)
                for key, limit in limits.items()
            }

        await self._store.update(sorted(limits), count)

    async def succeeded(self, *, address: str, name: str = "") -> None:
        """The name is forgiven everything, the address this one attempt: one valid account must not make guessing at others free."""
        name_key = f"name:{name}"[:160]
        now = self._clock.wall()

        def back(known: Mapping[str, Attempts]) -> Mapping[str, Attempts]:
            return {
                key: Attempts(last_at=found.last_at) if key == name_key else taken_back(found, now=now)
                for key, found in known.items()
            }

        await self._store.update(sorted(self._limits(address, name)), back)

    async def not_looked_at(self, *, address: str, name: str = "") -> None:
        """The attempt was turned away before anybody looked at it: it was neither a failure nor a success."""
        now = self._clock.wall()

        def back(known: Mapping[str, Attempts]) -> Mapping[str, Attempts]:
            return {key: taken_back(found, now=now) for key, found in known.items()}

        await self._store.update(sorted(self._limits(address, name)), back)

    def _remember(self, key: str, until: tuple[float, float]) -> None:
        if len(self._refused) >= _REMEMBERED_MAX:
            self._refused.clear()
        self._refused[key] = until

    def _limits(self, address: str, name: str) -> Mapping[str, int]:
        address = network(address)
        attempts = self._patience.attempts
        if not name:
            return {f"link:{address}"[:160]: attempts}
        return {f"address:{address}"[:160]: attempts * ADDRESS_FACTOR, f"name:{name}"[:160]: attempts}

    async def _sweep(self) -> None:
        now = self._clock.monotonic()
        if now - self._swept > _SWEEP_SECONDS:
            self._swept = now
            await self._store.drop_before(self._clock.now() - timedelta(seconds=FORGET_SECONDS))


def network(address: str) -> str:
    """Whoever has one IPv6 address has as many as he likes: they are counted by /64."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv6Address):
        if known.ipv4_mapped is not None:
            return str(known.ipv4_mapped)
        return str(ipaddress.ip_network((known, 64), strict=False))
    return address


def counted(found: Attempts, *, now: float, limit: int, patience: Patience) -> Attempts:
    """One more; at the limit the key is locked from now on. After a lock every further failure is one: `count` stays below the limit."""
    if now - found.last_at > FORGET_SECONDS:
        found = Attempts()
    if found.count + 1 < limit:
        return replace(found, count=found.count + 1, until=0.0, last_at=now)
    seconds = min(LONGEST_SECONDS, patience.lockout_seconds * 2.0**found.lockouts)
    return Attempts(count=limit - 1, lockouts=min(found.lockouts + 1, _DOUBLINGS_MAX), until=now + seconds, last_at=now)


def taken_back(found: Attempts, *, now: float) -> Attempts:
    """The attempt that was just counted was no failure. If it made the lock, the lock goes and the failures before it stay."""
    if found.until > now:
        return replace(found, lockouts=max(0, found.lockouts - 1), until=0.0)
    return replace(found, count=max(0, found.count - 1))


def locked(seconds: float) -> TooMany:
    wait = int(seconds) + 1
    return TooMany(
        f"cannot log in: too many failed attempts, locked for {wait} s",
        element="login",
        hint=f"try again in {wait} s; somebody with an API token can make a login link: corral login --link",
    )
