"""Idempotency-Key on POST: the same key with the same request is answered from store; with another request it is a conflict.

Only successful answers are kept, sealed (one may hold a secret that is shown once), for the actor who made the request. Two requests
with one key at the same time: the second waits for the first.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from corral.domain.errors import Conflict, Invalid
from corral.runtime.clock import Clock
from corral.server.application.ports.access import IdempotencyStore, Sealer, StoredAnswer

HEADER: Final = b"idempotency-key"
BODY_MAX_BYTES: Final = 1 << 20
"""A larger answer is not kept: repeating the request then runs it again (no POST of ours answers that much)."""
_KEY_MAX: Final = 128


@dataclass(frozen=True, kw_only=True)
class Keyed:
    """One POST with a key."""

    key: str
    actor: str
    request_hash: str

    @property
    def context(self) -> str:
        return f"{self.actor}\n{self.key}\n{self.request_hash}"


def keyed(header: bytes | None, *, actor: str, method: str, path: str, query: bytes, body: bytes) -> Keyed | None:
    """None without a key; raises Invalid for one that cannot be a key."""
    if header is None:
        return None
    key = header.decode("latin-1").strip()
    if not key or len(key) > _KEY_MAX or not key.isascii() or not key.isprintable():
        raise Invalid(
            f"cannot use the Idempotency-Key: expected 1-{_KEY_MAX} printable ASCII characters",
            element="Idempotency-Key",
            hint="use a new UUID for each thing you want done once",
        )
    parts = (method.encode(), path.encode(errors="surrogateescape"), query, body)
    hashed = hashlib.sha256(b"\n".join(str(len(part)).encode() + b":" + part for part in parts)).hexdigest()
    return Keyed(key=key, actor=actor, request_hash=hashed)


class Idempotency:
    def __init__(self, *, store: IdempotencyStore, sealer: Sealer, clock: Clock) -> None:
        self._store = store
        self._sealer = sealer
        self._clock = clock
        self._locks: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def alone(self, request: Keyed) -> AsyncIterator[None]:
        """One request of a key at a time, in this server."""
        name = (request.actor, request.key)
        lock, waiting = self._locks.get(name, (asyncio.Lock(), 0))
        self._locks[name] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._locks.pop(name)
            if waiting > 1:
                self._locks[name] = (lock, waiting - 1)

    async def stored(self, request: Keyed) -> tuple[int, bytes] | None:
        """The status and body of the first answer, if there was one. Raises Conflict when it was to another request."""
        found = await self._store.get(request.key, request.actor)
        if found is None:
            return None
        if found.request_hash != request.request_hash:
            raise Conflict(
                "cannot run this: its Idempotency-Key was used for another request",
                element="Idempotency-Key",
                hint="use a new key for each thing you want done once",
            )
        body = self._sealer.open(found.body, context=request.context)
        if body is None:
            raise Conflict(
                "cannot repeat the first answer: it was sealed by another key",
                element="Idempotency-Key",
                hint="look at what the first request made; use a new key to do it again",
            )
        return found.status, body

    async def keep(self, request: Keyed, status: int, body: bytes) -> None:
        if 200 <= status < 300 and len(body) <= BODY_MAX_BYTES:
            await self._store.put(
                request.key,
                request.actor,
                StoredAnswer(
                    request_hash=request.request_hash,
                    status=status,
                    body=self._sealer.seal(body, context=request.context),
                    at=self._clock.now(),
                ),
            )
