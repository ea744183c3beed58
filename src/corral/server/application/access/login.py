"""Logging in with a one-time code, an API token, a password or an invitation; refreshing and ending the session.

A wrong name, a wrong password, a disabled user and one without a password get the same answer after the same time. Failures are
counted per name and per address (lockout.py).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime

from corral.domain.access import EVERYTHING
from corral.domain.errors import Denied, Invalid, TooMany, Unauthenticated
from corral.runtime.clock import Clock
from corral.server.application.access.codes import LoginCodes
from corral.server.application.access.lockout import Lockout
from corral.server.application.access.names import folded
from corral.server.application.access.password import check_password, check_size
from corral.server.application.access.sessions import Issued, Sessions
from corral.server.application.access.standing import Standing
from corral.server.application.access.tokens import ApiTokens
from corral.server.application.ports.access import ApiToken, Caller, Session
from corral.server.application.ports.people import PasswordHasher, User, UserSource, UserStore

ANYTHING = frozenset({EVERYTHING})


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What a password has to pass, and whom it may prove."""

    users: UserStore
    hasher: PasswordHasher
    lockout: Lockout
    standing: Standing


class Login:
    """The use cases behind /login, /refresh, /logout and /login-codes."""

    def __init__(self, *, codes: LoginCodes, sessions: Sessions, tokens: ApiTokens, guard: Guard, clock: Clock) -> None:
        self._codes = codes
        self._sessions = sessions
        self._tokens = tokens
        self._guard = guard
        self._clock = clock

    async def new_code(self, caller: Caller) -> tuple[str, datetime]:
        """A one-time code that opens a session as the caller. Not from a session: a stolen one must not renew itself."""
        if caller.kind != "token":
            raise Denied(
                "cannot make a login link from a session",
                hint="use an API token (corral login --link), or log in in the browser",
            )
        return self._codes.create(caller)

    async def login(self, *, code: str | None, token: str | None, address: str, verifier: str = "") -> Issued:
        """Raises Unauthenticated, TooMany while locked out, or Invalid when neither or both are given."""
        if (code is None) == (token is None):
            raise Invalid("cannot log in: give either code or token", element="code", hint="a link holds the code")
        await self._guard.lockout.begin(address=address)
        issued = (
            await self._by_code(code, verifier, address)
            if code is not None
            else await self._by_token(token or "", address)
        )
        if issued is None:
            what = "this login link was used, has expired, or never was" if code is not None else "no such token"
            raise Unauthenticated(
                f"cannot log in: {what}",
                element="code" if code is not None else "token",
                hint="a new login link comes from 'corral login --link'",
            )
        await self._guard.lockout.succeeded(address=address)
        return issued

    async def with_password(self, name: str, password: str, *, address: str) -> Issued:
        """Raises Unauthenticated, TooMany while the name or the address is locked."""
        check_size(password)
        user = await self.prove(folded(name), password, address=address)
        return await self.begin(user, method="password", address=address)

    async def prove(self, name: str, password: str, *, address: str) -> User:
        """The user of that name, if this is the password. Counted, whatever it is asked for."""
        guard = self._guard
        await guard.lockout.begin(address=address, name=name)
        user = await guard.users.by_name(name)
        known = None if user is None or user.disabled or user.source is not UserSource.LOCAL else user.password_hash
        try:
            right = await guard.hasher.verify(known, password)
        except TooMany:
            await guard.lockout.not_looked_at(address=address, name=name)
            raise
        if not right or user is None or known is None:
            raise Unauthenticated(
                "cannot log in: the name or the password is wrong",
                element="password",
                hint="names are lower case; an admin can set another password: corral user passwd NAME",
            )
        await guard.lockout.succeeded(address=address, name=name)
        if guard.hasher.outdated(known):
            stronger = await guard.hasher.hash(password)
            await guard.users.change(
                user.id, lambda have: replace(have, password_hash=stronger) if have.password_hash == known else have
            )
        return user

    async def with_invite(self, code: str, password: str, *, address: str) -> Issued:
        """The first password of a user somebody invited. An invitation is good once."""
        guard, now = self._guard, self._clock.now()
        check_size(password)
        await guard.lockout.begin(address=address)
        digest = invite_digest(code)
        user = await guard.users.by_invite(digest)
        if user is None or not _invited(user, digest, now):
            raise _no_invite()
        await guard.lockout.succeeded(address=address)
        check_password(password, name=user.name)
        made = await guard.hasher.hash(password)

        def accept(have: User) -> User:
            if not _invited(have, digest, now):
                raise _no_invite()
            return replace(
                have,
                password_hash=made,
                must_change=False,
                invite_hash=None,
                invite_expires_at=None,
                version=have.version + 1,
            )

        user = await guard.users.change(user.id, accept)
        guard.standing.forget(user)
        return await self.begin(user, method="invite", address=address)

    async def begin(self, user: User, *, method: str, address: str) -> Issued:
        """A session of somebody who has proved who he is."""
        now = self._clock.now()
        await self._guard.users.change(user.id, lambda have: replace(have, last_login_at=now))
        return await self._sessions.begin(
            name=user.name, permissions=ANYTHING, user=user, method=method, address=address
        )

    async def refresh(self, refresh_token: str) -> Issued:
        session, counter = await self._sessions.current(refresh_token)
        cause = await self._over(session)
        if cause is not None:
            await self._sessions.end(session.id)
            raise Unauthenticated(f"cannot continue: {cause}", hint="log in again")
        return await self._sessions.refresh(session, counter)

    async def logout(self, caller: Caller) -> None:
        """Ends the caller's session; a caller with an API token has none and nothing happens."""
        if caller.credential.startswith("S"):
            await self._sessions.end(caller.credential)

    async def _over(self, session: Session) -> str | None:
        if session.source and not await self._tokens.is_valid(session.source):
            return "the API token that opened this session was revoked"
        if session.user:
            user = await self._guard.users.get(session.user)
            if user is None or user.disabled or user.version != session.user_version:
                return "this user was disabled, or has a new password"
        return None

    async def _by_code(self, code: str, verifier: str, address: str) -> Issued | None:
        grant = self._codes.take(code, verifier=verifier)
        if grant is None:
            return None
        user, gone = await self._owner(grant.user)
        if gone:
            return None
        return await self._sessions.begin(
            name=grant.name,
            permissions=grant.permissions,
            source=grant.source,
            user=user,
            method=grant.method,
            address=address,
        )

    async def _by_token(self, secret: str, address: str) -> Issued | None:
        token: ApiToken | None = await self._tokens.find(secret)
        if token is None:
            return None
        user, gone = await self._owner(token.owner)
        if gone:
            return None
        return await self._sessions.begin(
            name=token.name if user is None else user.name,
            permissions=token.permissions,
            source=token.id,
            user=user,
            method="token",
            address=address,
        )

    async def _owner(self, owner: str) -> tuple[User | None, bool]:
        """The user behind a token, and whether it is one who has no access (any more)."""
        if not owner:
            return None, False
        user = await self._guard.users.get(owner)
        return user, user is None or user.disabled


def invite_digest(code: str) -> bytes:
    """What is stored of an invitation; it has 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).digest()


def _invited(user: User, digest: bytes, now: datetime) -> bool:
    return (
        user.invite_hash == digest
        and not user.disabled
        and user.invite_expires_at is not None
        and user.invite_expires_at > now
    )


def _no_invite() -> Unauthenticated:
    return Unauthenticated(
        "cannot accept the invitation: it was used, has expired, or never was",
        element="code",
        hint="an admin makes another: corral user invite NAME",
    )
