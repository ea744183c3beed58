"""Sessions: a signed access token that lives minutes, and a signed refresh token that is good for one use.

Each refresh makes the next refresh token; an older one that turns up again was stolen (or its thief came first), and the session
ends for both. Two tabs of one browser may race: within ten seconds the loser is told to use what the winner got.
An access token says which session it is of; whether that one still lasts is asked of SQL, at most once a second: logging out
is known at once here, in another replica within a second. The refresh token carries the prefix, the access token is a JWT.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from corral.domain.errors import Conflict, Unauthenticated
from corral.domain.ids import new_id
from corral.runtime.clock import Clock, now_ms
from corral.server.application.access.brief import Brief
from corral.server.application.ports.access import AccessMint, Session, SessionStore, Signer
from corral.server.application.ports.people import User

PREFIX: Final = "crs_"
_RACE_SECONDS: Final = 10.0
REFRESH: Final = "refresh"
CSRF: Final = "csrf"


@dataclass(frozen=True, kw_only=True)
class Issued:
    """What a login or a refresh hands out. `csrf` goes into the X-Corral-CSRF header of writes made with the cookie."""

    session: str
    name: str
    access_token: str
    refresh_token: str
    csrf: str
    expires_at: datetime
    refresh_expires_at: datetime


class Sessions:
    """Begin, refresh, end; and read an access token."""

    def __init__(
        self,
        *,
        store: SessionStore,
        signer: Signer,
        mint: AccessMint,
        clock: Clock,
        access_seconds: float = 600.0,
        refresh_seconds: float = 7 * 86400.0,
    ) -> None:
        self._store = store
        self._signer = signer
        self._mint = mint
        self._clock = clock
        self._access_seconds = access_seconds
        self._refresh = timedelta(seconds=refresh_seconds)
        self._lasting: Brief[Session | None] = Brief(store.get, clock=clock)

    async def begin(
        self,
        *,
        name: str,
        permissions: frozenset[str],
        method: str,
        address: str = "",
        source: str = "",
        user: User | None = None,
    ) -> Issued:
        """`permissions` is what it may do at most; a user's session may do what the user's grants say."""
        now = self._clock.now()
        session = Session(
            id=new_id("S", now_ms(self._clock), secrets.token_bytes(6)),
            name=name,
            permissions=permissions,
            source=source,
            created_at=now,
            expires_at=now + self._refresh,
            user="" if user is None else user.id,
            user_version=0 if user is None else user.version,
            method=method,
            address=address,
        )
        await self._store.add(session)
        return self._issue(session, session.counter, now)

    async def current(self, refresh_token: str) -> tuple[Session, int]:
        """The session and counter a refresh token names. Raises Unauthenticated when it is not good (any more)."""
        claims = self._signer.read(REFRESH, refresh_token.removeprefix(PREFIX))
        session = await self._store.get(str(claims.get("s", ""))) if claims else None
        if claims is None or session is None or session.revoked or session.expires_at <= self._clock.now():
            raise _ended()
        counter = int(claims.get("c", 0))
        if counter != session.counter:
            await self._stale(session, counter)
        return session, counter

    async def refresh(self, session: Session, counter: int) -> Issued:
        """Spend this refresh token, hand out the next."""
        now = self._clock.now()
        if not await self._store.rotate(session.id, counter=counter, now=now):
            raise _raced()
        return self._issue(session, counter + 1, now)

    async def end(self, session: str) -> None:
        await self._store.revoke(session)
        self._lasting.forget(session)

    async def list(self, *, user: str | None, limit: int) -> Sequence[Session]:
        """Those that last, newest first; of one user, or all."""
        return await self._store.list(user=user, now=self._clock.now(), limit=limit)

    async def get(self, session: str) -> Session | None:
        """The session with this id, if it lasts."""
        found = await self._lasting.get(session)
        return found if found is not None and not found.revoked and found.expires_at > self._clock.now() else None

    async def drop_expired(self) -> int:
        """For retention: sessions that are over."""
        return await self._store.drop_expired(now=self._clock.now())

    async def read(self, access_token: str) -> Session | None:
        """None when the token is not ours, altered, expired, or its session is over."""
        claims = self._mint.read(access_token, now=self._clock.wall())
        if claims is None:
            return None
        session = await self.get(str(claims.get("sid", "")))
        if session is None or claims.get("ver") != session.user_version:
            return None
        return session

    async def _stale(self, session: Session, counter: int) -> None:
        raced = session.rotated_at is not None and self._clock.now() - session.rotated_at < timedelta(
            seconds=_RACE_SECONDS
        )
        if raced and counter == session.counter - 1:
            raise _raced()
        await self.end(session.id)
        raise _ended()

    def _issue(self, session: Session, counter: int, now: datetime) -> Issued:
        seconds = max(0.0, min(self._access_seconds, (session.expires_at - now).total_seconds()))
        claims: dict[str, Any] = {
            "sub": session.user or session.name,
            "sid": session.id,
            "ver": session.user_version,
            "jti": secrets.token_urlsafe(9),
        }
        return Issued(
            session=session.id,
            name=session.name,
            access_token=self._mint.mint(claims, now=now.timestamp(), seconds=seconds),
            refresh_token=PREFIX + self._signer.sign(REFRESH, {"s": session.id, "c": counter}),
            csrf=self.csrf(session.id),
            expires_at=now + timedelta(seconds=seconds),
            refresh_expires_at=session.expires_at,
        )

    def csrf(self, session: str) -> str:
        return hashlib.sha256(self._signer.sign(CSRF, {"s": session}).encode()).hexdigest()[:40]


def _ended() -> Unauthenticated:
    return Unauthenticated("cannot continue: the session is over", element="refresh_token", hint="log in again")


def _raced() -> Conflict:
    return Conflict(
        "cannot refresh: another request has just refreshed this session",
        element="refresh_token",
        hint="use the session that request received",
        retryable=True,
    )
