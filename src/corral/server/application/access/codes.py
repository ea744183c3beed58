"""One-time login codes: what `corral up` prints as a link. In memory: a code works on the server that made it, until it restarts."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from corral.runtime.clock import Clock
from corral.server.application.ports.access import Caller

_KEPT_MAX: Final = 1000
_CODE_BYTES: Final = 24


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Whose session a code opens."""

    name: str
    permissions: frozenset[str]
    source: str
    """The API token it stands for."""
    user: str
    """And whose that is."""
    expires_at: datetime


class LoginCodes:
    """Single use: taking a code removes it before anything else happens, so two racing uses have one winner."""

    def __init__(self, *, clock: Clock, ttl_seconds: float = 600.0) -> None:
        self._clock = clock
        self._ttl = timedelta(seconds=ttl_seconds)
        self._grants: dict[bytes, Grant] = {}

    def create(self, caller: Caller) -> tuple[str, datetime]:
        """A code that opens a session with the caller's own permissions."""
        now = self._clock.now()
        self._grants = {key: grant for key, grant in self._grants.items() if grant.expires_at > now}
        while len(self._grants) >= _KEPT_MAX:
            del self._grants[next(iter(self._grants))]
        code = secrets.token_urlsafe(_CODE_BYTES)
        source = caller.credential if caller.kind == "token" else ""
        self._grants[_key(code)] = Grant(
            name=caller.name,
            permissions=caller.permissions,
            source=source,
            user=caller.user,
            expires_at=now + self._ttl,
        )
        return code, now + self._ttl

    def take(self, code: str) -> Grant | None:
        grant = self._grants.pop(_key(code), None)
        return grant if grant is not None and grant.expires_at > self._clock.now() else None


def _key(code: str) -> bytes:
    return hashlib.sha256(code.encode(errors="surrogateescape")).digest()
