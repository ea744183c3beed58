"""What a request proves itself with: an API token as it is, or the session in the context file, renewed before it ends.

The refresh token is good once, so everybody who shares the file takes turns: under its lock the file is read again (somebody
may have renewed meanwhile), the next one is asked for, and stored before anybody else reads. What the file says when its owner logs
out, or in again, counts at the next request.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from corral.domain.errors import Conflict, Unauthenticated
from corral.runtime.clock import Clock
from corral.sdk.context import Context, save_session

Refresh = Callable[[str], Awaitable[Mapping[str, Any]]]
"""The refresh token in, the next session out."""
_EARLY_SECONDS: Final = 30.0
_LOCK_PAUSE_SECONDS: Final = 0.05
_LOCK_PATIENCE_SECONDS: Final = 20.0


class Credential:
    """`bearer()` before each request; `again()` after a 401."""

    def __init__(self, context: Context, *, refresh: Refresh, clock: Clock) -> None:
        self._context = context
        self._refresh = refresh
        self._clock = clock
        self._session: dict[str, Any] | None = None

    async def bearer(self) -> str | None:
        if not self._context.session:
            return self._context.token
        session = self._session or self._read()
        if session is None or not self._lasts(session):
            session = await self._renewed(session)
        self._session = session
        return str(session["access_token"])

    async def again(self) -> bool:
        """Whether there is a new access token to try: the one that was refused is not used any more."""
        if not self._context.session or self._session is None:
            return False
        refused = self._session
        self._session = await self._renewed(refused)
        return bool(self._session["access_token"] != refused["access_token"])

    async def _renewed(self, old: Mapping[str, Any] | None) -> dict[str, Any]:
        async with self._turn():
            session = self._read()
            if session is None:
                raise Unauthenticated("cannot ask the server: nobody is logged in any more", hint="corral login NAME")
            if old is not None and session["access_token"] != old["access_token"] and self._lasts(session):
                return session
            try:
                new = dict(await self._refresh(str(session["refresh_token"])))
            except Conflict:
                raise Unauthenticated(
                    "cannot renew the session: its refresh token is in use somewhere else", hint="corral login NAME"
                ) from None
            save_session(self._context.url, new, ca=self._context.ca, path=self._context.file)
            return new

    def _read(self) -> dict[str, Any] | None:
        try:
            kept = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return None
        session = kept.get("session") if isinstance(kept, dict) else None
        same = isinstance(kept, dict) and str(kept.get("url", "")).rstrip("/") == self._context.url
        whole = isinstance(session, dict) and all(session.get(key) for key in ("access_token", "refresh_token"))
        return session if same and whole else None

    def _lasts(self, session: Mapping[str, Any]) -> bool:
        """By our own clock; when that one is wrong, a 401 says so."""
        try:
            ends = datetime.fromisoformat(str(session.get("expires_at")))
        except ValueError:
            return False
        return ends.tzinfo is not None and (ends - self._clock.now()).total_seconds() > _EARLY_SECONDS

    @property
    def _file(self) -> Path:
        assert self._context.file is not None
        return self._context.file

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None, None]:
        """The lock of the file, beside it: the file itself is replaced. A lock that stays taken is passed over: its owner is stuck."""
        try:
            lock = os.open(f"{self._file}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            yield
            return
        try:
            patience = self._clock.monotonic() + _LOCK_PATIENCE_SECONDS
            while self._clock.monotonic() < patience:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    await self._clock.sleep(_LOCK_PAUSE_SECONDS)
            yield
        finally:
            os.close(lock)
