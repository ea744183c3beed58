"""Sessions: a signed access token that lives minutes, and a signed refresh token that is good for one use.

Each refresh makes the next refresh token; an older one that turns up again was stolen (or its thief came first), and the session
ends for both. Two tabs of one browser may race: within ten seconds the loser is told to use what the winner got.
An access token is checked without a query; logging out is known at once here, in another replica when the token expires.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from corral.domain.errors import Conflict, Unauthenticated
from corral.domain.ids import new_id
from corral.runtime.clock import Clock, now_ms
from corral.server.application.ports.access import Session, SessionStore, Signer

PREFIX: Final = "crs_"
_RACE_SECONDS: Final = 10.0
_REVOKED_MAX: Final = 100_000


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


@dataclass(frozen=True, kw_only=True)
class Access:
    """What a valid access token says."""

    session: str
    name: str
    permissions: frozenset[str]
    csrf: str


class Sessions:
    """Begin, refresh, end; and read an access token."""

    def __init__(
        self,
        *,
        store: SessionStore,
        signer: Signer,
        clock: Clock,
        access_seconds: float = 900.0,
        refresh_seconds: float = 7 * 86400.0,
    ) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock
        self._access = timedelta(seconds=access_seconds)
        self._refresh = timedelta(seconds=refresh_seconds)
        self._ended: dict[str, datetime] = {}

    async def begin(self, *, name: str, permissions: frozenset[str], source: str) -> Issued:
        now = self._clock.now()
        session = Session(
            id=new_id("S", now_ms(self._clock), secrets.token_bytes(6)),
            name=name,
            permissions=permissions,
            source=source,
            created_at=now,
            expires_at=now + self._refresh,
        )
        await self._store.add(session)
        return self._issue(session, session.counter, now)

    async def current(self, refresh_token: str) -> tuple[Session, int]:
        """The session and counter a refresh token names. Raises Unauthenticated when it is not good (any more)."""
        claims = self._signer.read("refresh", refresh_token.removeprefix(PREFIX))
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
        now = self._clock.now()
        self._ended = {key: until for key, until in self._ended.items() if until > now}
        if len(self._ended) < _REVOKED_MAX:
            self._ended[session] = now + self._access
        await self._store.revoke(session)

    async def drop_expired(self) -> int:
        """For retention: sessions that are over."""
        return await self._store.drop_expired(now=self._clock.now())

    def read(self, access_token: str) -> Access | None:
        """None when the token is not ours, altered, expired, or its session was ended here."""
        claims = self._signer.read("access", access_token.removeprefix(PREFIX))
        if claims is None or float(claims.get("e", 0)) <= self._clock.wall():
            return None
        session = str(claims["s"])
        if session in self._ended:
            return None
        return Access(
            session=session,
            name=str(claims["n"]),
            permissions=frozenset(claims["p"]),
            csrf=self.csrf(session),
        )

    async def _stale(self, session: Session, counter: int) -> None:
        raced = session.rotated_at is not None and self._clock.now() - session.rotated_at < timedelta(
            seconds=_RACE_SECONDS
        )
        if raced and counter == session.counter - 1:
            raise _raced()
        await self.end(session.id)
        raise _ended()

    def _issue(self, session: Session, counter: int, now: datetime) -> Issued:
        expires_at = min(now + self._access, session.expires_at)
        access: dict[str, Any] = {
            "s": session.id,
            "n": session.name,
            "p": sorted(session.permissions),
            "e": expires_at.timestamp(),
        }
        return Issued(
            session=session.id,
            name=session.name,
            access_token=PREFIX + self._signer.sign("access", access),
            refresh_token=PREFIX + self._signer.sign("refresh", {"s": session.id, "c": counter}),
            csrf=self.csrf(session.id),
            expires_at=expires_at,
            refresh_expires_at=session.expires_at,
        )

    def csrf(self, session: str) -> str:
        return hashlib.sha256(self._signer.sign("csrf", {"s": session}).encode()).hexdigest()[:40]


def _ended() -> Unauthenticated:
    return Unauthenticated("cannot continue: the session is over", element="refresh_token", hint="log in again")


def _raced() -> Conflict:
    return Conflict(
        "cannot refresh: another request has just refreshed this session",
        element="refresh_token",
        hint="use the session that request received",
        retryable=True,
    )
