"""Who calls: a bearer secret or a session cookie becomes a Caller, or Unauthenticated."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final

from corral.domain.errors import Denied, Unauthenticated
from corral.server.application.access.sessions import Sessions
from corral.server.application.access.standing import Holding, Standing
from corral.server.application.access.tokens import PREFIX as TOKEN_PREFIX
from corral.server.application.access.tokens import ApiTokens
from corral.server.application.ports.access import Caller, Session

_LONGEST: Final = 4096
KIND_TOKEN: Final = "token"
KIND_SESSION: Final = "session"
"""Opened by a login link or an API token."""
KIND_USER: Final = "user"
"""A user who has logged in."""


@dataclass(frozen=True, kw_only=True)
class Presented:
    """What came with a request. `csrf` is the header's text; `unsafe` = a method that changes something."""

    bearer: str | None = None
    cookie: str | None = None
    csrf: str | None = None
    unsafe: bool = False
    address: str = ""
    request_id: str = ""


class Authenticate:
    """The bearer header wins over the cookie; a cookie proves a write only together with the CSRF header."""

    def __init__(self, *, tokens: ApiTokens, sessions: Sessions, standing: Standing) -> None:
        self._tokens = tokens
        self._sessions = sessions
        self._standing = standing

    async def __call__(self, presented: Presented) -> Caller:
        if presented.bearer is not None:
            return await self._bearer(presented.bearer, presented)
        if presented.cookie is not None:
            return await self._cookie(presented.cookie, presented)
        raise Unauthenticated(
            "cannot answer: no credential was given",
            hint="send 'Authorization: Bearer <API token>', or log in; 'corral up' writes a context for the CLI",
        )

    async def _bearer(self, secret: str, presented: Presented) -> Caller:
        if len(secret) > _LONGEST or not secret.startswith(TOKEN_PREFIX):
            return (await self._session(secret, presented))[0]
        token = await self._tokens.find(secret)
        holding = None if token is None else await self._standing.of_token(token)
        if token is None or holding is None:
            raise Unauthenticated(
                "cannot answer: the API token is unknown, expired or revoked", hint="use a valid token or log in again"
            )
        return _caller(holding, KIND_TOKEN, token.id, presented)

    async def _cookie(self, value: str, presented: Presented) -> Caller:
        caller, session = await self._session(value, presented)
        if presented.unsafe:
            wanted, given = self._sessions.csrf(session.id), presented.csrf or ""
            if not hmac.compare_digest(wanted.encode(), given.encode("utf-8", "surrogatepass")):
                raise Denied(
                    "cannot change anything by the session cookie alone: the X-Corral-CSRF header is missing or wrong",
                    element="X-Corral-CSRF",
                    hint="send the csrf value of /api/v1/whoami in that header",
                )
        return caller

    async def _session(self, value: str, presented: Presented) -> tuple[Caller, Session]:
        session = await self._sessions.read(value) if len(value) <= _LONGEST else None
        holding = None if session is None else await self._standing.of_session(session)
        if session is None or holding is None:
            raise Unauthenticated("cannot answer: the session has expired", hint="refresh it or log in again")
        kind = KIND_USER if session.user and not session.source else KIND_SESSION
        return _caller(holding, kind, session.id, presented), session

    async def holds(self, caller: Caller) -> bool:
        """Whether the caller of a request that is still going on may do exactly what he might when it began.

        Whether his access token has run out meanwhile does not matter, whether the session behind it has does.
        """
        holding: Holding | None = None
        if caller.kind in (KIND_SESSION, KIND_USER):
            session = await self._sessions.get(caller.credential)
            holding = None if session is None else await self._standing.of_session(session)
        elif caller.kind == KIND_TOKEN:
            token = await self._tokens.get(caller.credential)
            holding = None if token is None else await self._standing.of_token(token)
        return holding is not None and (holding.permissions, holding.grants) == (caller.permissions, caller.grants)

    async def session_of(self, caller: Caller) -> Session | None:
        """The session the caller proves who he is with."""
        return await self._sessions.get(caller.credential) if caller.kind in (KIND_SESSION, KIND_USER) else None

    def csrf(self, caller: Caller) -> str | None:
        """What the caller's page sends in X-Corral-CSRF; None for a caller without a session."""
        return self._sessions.csrf(caller.credential) if caller.kind in (KIND_SESSION, KIND_USER) else None


def _caller(holding: Holding, kind: str, credential: str, presented: Presented) -> Caller:
    return Caller(
        name=holding.name,
        kind=kind,
        permissions=holding.permissions,
        grants=holding.grants,
        user="" if holding.user is None else holding.user.id,
        address=presented.address,
        request_id=presented.request_id,
        credential=credential,
    )
