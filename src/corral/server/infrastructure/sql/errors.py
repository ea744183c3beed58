"""What went wrong in a database, said once in our words: full, busy, gone, damaged, or our own mistake."""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy import exc

from corral.domain.errors import CorralError, Internal, Invalid, OutOfSpace, Unavailable

_RETRY_STATES: Final = ("40001", "40P01", "55P03", "57014")
"""PostgreSQL: serialization failure, deadlock, lock not available, query cancelled."""
_AWAY_STATES: Final = ("08", "57P", "53300", "25006")
"""PostgreSQL: connection trouble, shutting down or starting, too many connections, read-only (a standby)."""

_UNFIT_STATES: Final = ("22003", "22021", "22P05")
"""PostgreSQL: a number out of range, characters that no text there can hold."""


def translate(error: Exception, name: str) -> CorralError:
    """The CorralError for what a driver or SQLAlchemy raised while working on the database `name`."""
    if isinstance(error, CorralError):
        return error
    cause = _driver_error(error)
    if isinstance(cause, sqlite3.Error):
        return _from_sqlite(cause, name)
    if isinstance(cause, OverflowError):
        return _unfit(cause)
    state = getattr(cause, "sqlstate", None)
    if isinstance(state, str):
        if state.startswith("53") and state in ("53100", "53200", "53000"):
            return OutOfSpace(f"cannot write to database {name}: {_text(cause)}", element=name, retryable=True)
        if state in _RETRY_STATES or state.startswith(_AWAY_STATES):
            return _away(cause, name)
        if state in _UNFIT_STATES:
            return _unfit(cause)
        return Internal(f"cannot use database {name}: {_text(cause)} (SQLSTATE {state})", element=name)
    disconnected = isinstance(error, exc.DBAPIError) and (
        error.connection_invalidated or isinstance(error, exc.OperationalError)
    )
    if disconnected or isinstance(error, exc.TimeoutError | exc.InterfaceError | OSError | TimeoutError):
        return _away(cause, name)
    return Internal(f"cannot use database {name}: {_text(cause)}", element=name)


def _unfit(cause: BaseException) -> Invalid:
    """A caller's value, not our mistake: the statement is the same for everybody."""
    return Invalid(
        f"cannot store or look up a value: {_text(cause)}", element="value", hint="numbers have at most 64 bits"
    )


def _driver_error(error: BaseException) -> BaseException:
    """SQLAlchemy wraps the driver's error, and its asyncio shims may wrap it once more."""
    seen = error
    for _ in range(4):
        inner = getattr(seen, "orig", None) or getattr(seen, "driver_exception", None)
        if not isinstance(inner, BaseException) or inner is seen:
            break
        seen = inner
    return seen


def _from_sqlite(error: sqlite3.Error, name: str) -> CorralError:
    code = getattr(error, "sqlite_errorcode", None) or 0
    match code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return OutOfSpace(
                f"cannot write to {name!r}: the disk is full",
                element=name,
                hint="free some space; nothing that was accepted is lost",
                retryable=True,
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Unavailable(
                f"cannot write to {name!r}: another process holds it",
                element=name,
                hint="SQLite serves one server only; use PostgreSQL for several",
                retryable=True,
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return damaged(name, str(error))
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return Unavailable(
                f"cannot use database {name!r}: {error}",
                element=name,
                hint="check the disk, the directory's owner and its mode",
                retryable=True,
            )
    return Internal(f"cannot use database {name!r}: {error}", element=name)


def damaged(name: str, why: str) -> Unavailable:
    """The file is corrupt: waiting will not help, a backup will."""
    return Unavailable(
        f"cannot use database {name!r}: the file is damaged ({why})",
        element=name,
        hint=f"stop the server, keep a copy of {name}, then run 'corral system restore FILE' with your last backup",
    )


def _away(error: BaseException, name: str) -> Unavailable:
    return Unavailable(
        f"cannot reach database {name}: {_text(error)}",
        element=name,
        hint="check that it runs and that the URL is right",
        retryable=True,
    )


def _text(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
