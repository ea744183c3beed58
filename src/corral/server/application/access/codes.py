"""One-time login codes, for links and for a browser login of the command line. In memory: a code works on the server that made it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from corral.domain.access import EVERYTHING
from corral.runtime.clock import Clock
from corral.server.application.ports.access import Caller
from corral.server.application.ports.people import User

_KEPT_MAX: Final = 1000
_CODE_BYTES: Final = 24
_CHALLENGED_SECONDS: Final = 60.0


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
    method: str = "link"
    challenge: str = ""
    """SHA-256 of the secret that has to come with the code, in base64url; '' for none."""


class LoginCodes:
    """Single use: taking a code removes it before anything else happens, so two racing uses have one winner."""

    def __init__(self, *, clock: Clock, ttl_seconds: float = 600.0) -> None:
        self._clock = clock
        self._ttl = timedelta(seconds=ttl_seconds)
        self._grants: dict[bytes, Grant] = {}

    def create(self, caller: Caller) -> tuple[str, datetime]:
        """A code that opens a session with the caller's own permissions."""
        source = caller.credential if caller.kind == "token" else ""
        expires_at = self._clock.now() + self._ttl
        grant = Grant(
            name=caller.name, permissions=caller.permissions, source=source, user=caller.user, expires_at=expires_at
        )
        return self._kept(grant), expires_at

    def create_for(self, user: User, *, challenge: str) -> str:
        """A code that opens a session of `user` for whoever has the secret behind `challenge`, within a minute."""
        return self._kept(
            Grant(
                name=user.name,
                permissions=frozenset({EVERYTHING}),
                source="",
                user=user.id,
                expires_at=self._clock.now() + timedelta(seconds=_CHALLENGED_SECONDS),
                method="oidc",
                challenge=challenge,
            )
        )

    def take(self, code: str, *, verifier: str = "") -> Grant | None:
        grant = self._grants.pop(_key(code), None)
        if grant is None or grant.expires_at <= self._clock.now():
            return None
        if grant.challenge and not hmac.compare_digest(grant.challenge, _challenge(verifier)):
            return None
        return grant

    def _kept(self, grant: Grant) -> str:
        now = self._clock.now()
        self._grants = {key: known for key, known in self._grants.items() if known.expires_at > now}
        while len(self._grants) >= _KEPT_MAX:
            del self._grants[next(iter(self._grants))]
        code = secrets.token_urlsafe(_CODE_BYTES)
        self._grants[_key(code)] = grant
        return code


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode(errors="surrogateescape")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _key(code: str) -> bytes:
    return hashlib.sha256(code.encode(errors="surrogateescape")).digest()
