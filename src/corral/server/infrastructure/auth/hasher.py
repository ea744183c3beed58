"""Passwords as argon2id (ports/people.py PasswordHasher), in threads: two at a time, and a short queue behind them.

The parameters are RFC 9106's second choice, made for machines without gigabytes to spare: 64 MiB, three passes. A hash of other
parameters still verifies and is made anew at the next login.
"""

from __future__ import annotations

import asyncio
import unicodedata
from typing import Final

from argon2 import PasswordHasher as Argon2
from argon2 import Type
from argon2.exceptions import InvalidHashError, VerificationError

from corral.domain.errors import TooMany
from corral.runtime.threads import in_thread

MEMORY_KIB: Final = 64 << 10
PASSES: Final = 3
LANES: Final = 4
AT_ONCE: Final = 2
WAITING_MAX: Final = 32


class Argon2Hasher:
    """`memory_kib` and `passes` are for tests that log in often."""

    def __init__(self, *, memory_kib: int = MEMORY_KIB, passes: int = PASSES) -> None:
        self._argon2 = Argon2(time_cost=passes, memory_cost=memory_kib, parallelism=LANES, type=Type.ID)
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        async with _Queue(self):
            return await in_thread(self._argon2.hash, _bytes(password))

    async def verify(self, known: str | None, password: str) -> bool:
        if self._nobody is None:
            # What a name without a password is compared with, so that it takes as long.
            self._nobody = await self.hash("nobody has this password")
        async with _Queue(self):
            matches = await in_thread(self._matches, known or self._nobody, password)
        return matches and known is not None

    def outdated(self, known: str) -> bool:
        try:
            return self._argon2.check_needs_rehash(known)
        except InvalidHashError:
            return True

    def _matches(self, known: str, password: str) -> bool:
        try:
            return self._argon2.verify(known, _bytes(password))
        except (VerificationError, InvalidHashError):
            return False


class _Queue:
    """A turn at hashing; raises TooMany when too many wait: each turn costs a tenth of a second and its memory."""

    def __init__(self, hasher: Argon2Hasher) -> None:
        self._hasher = hasher

    async def __aenter__(self) -> None:
        hasher = self._hasher
        if hasher._waiting >= WAITING_MAX:
            raise TooMany("cannot log in: too many people log in at once", hint="try again in a few seconds")
        hasher._waiting += 1
        try:
            await hasher._turn.acquire()
        finally:
            hasher._waiting -= 1

    async def __aexit__(self, *error: object) -> None:
        self._hasher._turn.release()


def _bytes(password: str) -> bytes:
    """One spelling: keyboards differ in how they compose an accented letter."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
