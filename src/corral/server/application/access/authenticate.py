"""Who calls: a bearer secret or a session cookie becomes a Caller, or Unauthenticated."""

from __future__ import annotations

from dataclasses import dataclass

from corral.domain.errors import Denied, Unauthenticated
from corral.server.application.access.sessions import PREFIX as SESSION_PREFIX
from corral.server.application.access.sessions import Sessions
from corral.server.application.access.tokens import PREFIX as TOKEN_PREFIX
from corral.server.application.access.tokens import ApiTokens
from corral.server.application.ports.access import Caller

_LONGEST = 4096


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

    def __init__(self, *, tokens: ApiTokens, sessions: Sessions) -> None:
        self._tokens = tokens
        self._sessions = sessions

    async def __call__(self, presented: Presented) -> Caller:
        if presented.bearer is not None:
            return await self._bearer(presented.bearer, presented)
        if presented.cookie is not None:
            return self._cookie(presented.cookie, presented)
        raise Unauthenticated(
            "cannot answer: no credential was given",
            hint="send 'Authorization: Bearer <API token>', or log in; 'corral up' writes a context for the CLI",
        )

    async def _bearer(self, secret: str, presented: Presented) -> Caller:
        if len(secret) <= _LONGEST and secret.startswith(TOKEN_PREFIX):
            token = await self._tokens.find(secret)
            if token is not None:
                return Caller(
                    name=token.name,
                    kind="token",
                    permissions=token.permissions,
                    address=presented.address,
                    request_id=presented.request_id,
                    credential=token.id,
                )
        if len(secret) <= _LONGEST and secret.startswith(SESSION_PREFIX):
            return self._session(secret, presented)[0]
        raise Unauthenticated(
            "cannot answer: the API token is unknown, expired or revoked", hint="use a valid token or log in again"
        )

    def _cookie(self, value: str, presented: Presented) -> Caller:
        caller, csrf = self._session(value, presented)
        if presented.unsafe and presented.csrf != csrf:
            raise Denied(
                "cannot change anything by the session cookie alone: the X-Corral-CSRF header is missing or wrong",
                element="X-Corral-CSRF",
                hint="send the csrf value of /api/v1/whoami in that header",
            )
        return caller

    def _session(self, value: str, presented: Presented) -> tuple[Caller, str]:
        access = self._sessions.read(value) if len(value) <= _LONGEST else None
        if access is None:
            raise Unauthenticated("cannot answer: the session has expired", hint="refresh it or log in again")
        caller = Caller(
            name=access.name,
            kind="session",
            permissions=access.permissions,
            address=presented.address,
            request_id=presented.request_id,
            credential=access.session,
        )
        return caller, access.csrf

    def csrf(self, caller: Caller) -> str | None:
        """What the caller's page sends in X-Corral-CSRF; None for a caller without a session."""
        return self._sessions.csrf(caller.credential) if caller.kind == "session" else None
