"""Logging in with a one-time code or an API token; refreshing and ending the session. Failures are counted per address."""

from __future__ import annotations

from datetime import datetime

from corral.domain.errors import Denied, Invalid, Unauthenticated
from corral.runtime.clock import Clock
from corral.server.application.access.codes import LoginCodes
from corral.server.application.access.sessions import Issued, Sessions
from corral.server.application.access.throttle import LoginThrottle
from corral.server.application.access.tokens import ApiTokens
from corral.server.application.ports.access import Caller


class Login:
    """The use cases behind /login, /refresh, /logout and /login-codes."""

    def __init__(
        self, *, codes: LoginCodes, sessions: Sessions, tokens: ApiTokens, throttle: LoginThrottle, clock: Clock
    ) -> None:
        self._codes = codes
        self._sessions = sessions
        self._tokens = tokens
        self._throttle = throttle
        self._clock = clock

    async def new_code(self, caller: Caller) -> tuple[str, datetime]:
        """A one-time code that opens a session as the caller. Not from a session: a stolen one must not renew itself."""
        if caller.kind != "token":
            raise Denied(
                "cannot make a login link from a browser session",
                hint="use an API token: corral login --link",
            )
        return self._codes.create(caller)

    async def login(self, *, code: str | None, token: str | None, address: str) -> Issued:
        """Raises Unauthenticated, TooMany while locked out, or Invalid when neither or both are given."""
        if (code is None) == (token is None):
            raise Invalid("cannot log in: give either code or token", element="code", hint="a link holds the code")
        # Every address counts for itself; there are no user names yet to count by.
        self._throttle.check(address, "", now=self._clock.monotonic())
        issued = await self._by_code(code) if code is not None else await self._by_token(token or "")
        if issued is None:
            self._throttle.failed(address, "", now=self._clock.monotonic())
            what = "this login link was used, has expired, or never was" if code is not None else "no such token"
            raise Unauthenticated(
                f"cannot log in: {what}",
                element="code" if code is not None else "token",
                hint="a new login link comes from 'corral login --link'",
            )
        self._throttle.succeeded(address, "")
        return issued

    async def refresh(self, refresh_token: str) -> Issued:
        session, counter = await self._sessions.current(refresh_token)
        if session.source and not await self._tokens.is_valid(session.source):
            await self._sessions.end(session.id)
            raise Unauthenticated(
                "cannot continue: the API token that opened this session was revoked", hint="log in again"
            )
        return await self._sessions.refresh(session, counter)

    async def logout(self, caller: Caller) -> None:
        """Ends the caller's session; a caller with an API token has none and nothing happens."""
        if caller.kind == "session":
            await self._sessions.end(caller.credential)

    async def _by_code(self, code: str) -> Issued | None:
        grant = self._codes.take(code)
        if grant is None:
            return None
        return await self._sessions.begin(name=grant.name, permissions=grant.permissions, source=grant.source)

    async def _by_token(self, secret: str) -> Issued | None:
        token = await self._tokens.find(secret)
        if token is None:
            return None
        return await self._sessions.begin(name=token.name, permissions=token.permissions, source=token.id)
