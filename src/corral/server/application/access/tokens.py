"""API tokens: made once, shown once, stored as a SHA-256, looked up on every request.

A lookup is remembered for a second, so that a busy client costs no query per request; a revocation in this server takes effect
at once, in another replica within that second.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from corral.domain.errors import Denied, Invalid, NotFound
from corral.domain.ids import check_object_id, new_id
from corral.runtime.clock import Clock, now_ms
from corral.server.application.access.brief import Brief
from corral.server.application.access.own import require_login
from corral.server.application.access.permissions import ALL, check_permissions
from corral.server.application.ports.access import ApiToken, ApiTokenStore, Caller

PREFIX: Final = "crl_"
_SECRET_BYTES: Final = 32
_REMEMBER_SECONDS: Final = 1.0
_REMEMBERED_MAX: Final = 4096
_TOUCH_SECONDS: Final = 60.0
_NAME_MAX: Final = 128
_TTL_MAX_SECONDS: Final = 10 * 366 * 86400.0


def digest(secret: str) -> bytes:
    """What is stored. The secret has 256 random bits, so a plain hash is enough and a slow one would only cost."""
    return hashlib.sha256(secret.encode()).digest()


def new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


class ApiTokens:
    """Create, list, revoke, find. Also a component: it writes down now and then when tokens were last used."""

    name = "api-tokens"

    def __init__(self, *, store: ApiTokenStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[bytes, tuple[float, ApiToken | None]] = {}
        self._used: dict[str, datetime] = {}
        self._by_id: Brief[ApiToken | None] = Brief(self._read, clock=clock)

    async def create(
        self,
        caller: Caller,
        *,
        name: str,
        permissions: Sequence[str] = (ALL,),
        ttl_seconds: float | None = None,
        own: bool = False,
    ) -> tuple[ApiToken, str]:
        """The token and its secret, which is not kept. Nobody grants more than they may themselves, and what a user makes is theirs:
        it can never do more than they can at that moment. `own`: anybody who has logged in, for themselves.
        """
        if own:
            require_login(caller, "make a token of your own")
        granted = check_permissions(permissions)
        # `*` in a token of one's own is whatever its owner may do.
        missing = sorted(
            word for word in granted if not (caller.may(word) or (own and word == ALL and caller.permissions))
        )
        if missing:
            raise Denied(
                f"cannot grant {', '.join(missing)}: you do not have it yourself",
                element="permissions",
                hint="ask somebody who has it, or leave it out",
            )
        if not name.strip() or len(name) > _NAME_MAX or not name.isprintable():
            raise Invalid(
                f"cannot use {name[:_NAME_MAX]!r} as a token's name: expected 1-{_NAME_MAX} printable characters",
                element="name",
                hint="say what the token is for, for example 'ci'",
            )
        if ttl_seconds is not None and not 1 <= ttl_seconds <= _TTL_MAX_SECONDS:
            raise Invalid(
                f"cannot make a token that lasts {ttl_seconds:g} s: expected 1 to {_TTL_MAX_SECONDS:g}",
                element="ttl_seconds",
                hint="leave it out for a token that does not expire",
            )
        secret = new_secret()
        return await self._add(secret, name.strip(), granted, ttl_seconds, owner=caller.user), secret

    async def list(self, caller: Caller, *, own: bool = False) -> Sequence[ApiToken]:
        found = [token for token in await self._store.list() if not own or (caller.user and token.owner == caller.user)]
        # What was used since the last time it was written down is known here alone.
        return [replace(token, last_used_at=self._used.get(token.id, token.last_used_at)) for token in found]

    async def revoke(self, caller: Caller, token: str, *, own: bool = False) -> None:
        """Raises NotFound when there is no such token (or, with `own`, it is not the caller's); revoking twice is fine."""
        check_object_id(token, "K", element="token")
        if own:
            require_login(caller, "revoke a token of your own")
        if not any(known.id == token for known in await self.list(caller, own=own)):
            raise NotFound(f"cannot revoke token {token!r}: there is none", element=token, hint="see GET /api-tokens")
        await self._store.revoke(token)
        self._known.clear()
        self._by_id.forget(token)

    async def find(self, secret: str) -> ApiToken | None:
        """The token this secret proves, if it is valid now."""
        key = digest(secret)
        now = self._clock.monotonic()
        known = self._known.get(key)
        if known is None or known[0] < now:
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.clear()
            known = (now + _REMEMBER_SECONDS, await self._store.by_hash(key))
            self._known[key] = known
        token = known[1]
        if token is None or not self._valid(token):
            return None
        self._used[token.id] = self._clock.now()
        return token

    async def get(self, token_id: str) -> ApiToken | None:
        """The token with this id, if it is valid now."""
        token = await self._by_id.get(token_id)
        return token if token is not None and self._valid(token) else None

    async def is_valid(self, token_id: str) -> bool:
        """Whether the token with this id still stands: what a session made from it asks at refresh."""
        return any(token.id == token_id and self._valid(token) for token in await self._store.list())

    async def bootstrap(self, secret: Callable[[], str]) -> ApiToken | None:
        """The first start: make the admin token from `secret()` when there is no token at all, else do nothing."""
        if await self._store.list():
            return None
        return await self._add(secret(), "admin", frozenset({ALL}), None)

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        try:
            while True:
                await self._clock.sleep(_TOUCH_SECONDS)
                await self._touch()
        finally:
            await self._touch()

    async def _read(self, token_id: str) -> ApiToken | None:
        return next((token for token in await self._store.list() if token.id == token_id), None)

    async def _touch(self) -> None:
        used, self._used = self._used, {}
        if used:
            await self._store.touch(used)

    async def _add(
        self, secret: str, name: str, permissions: frozenset[str], ttl_seconds: float | None, *, owner: str = ""
    ) -> ApiToken:
        now = self._clock.now()
        token = ApiToken(
            id=new_id("K", now_ms(self._clock), secrets.token_bytes(6)),
            name=name,
            hash=digest(secret),
            permissions=permissions,
            created_at=now,
            expires_at=None if ttl_seconds is None else now + timedelta(seconds=ttl_seconds),
            owner=owner,
        )
        await self._store.add(token)
        self._known.pop(token.hash, None)
        return token

    def _valid(self, token: ApiToken) -> bool:
        return not token.revoked and (token.expires_at is None or token.expires_at > self._clock.now())
