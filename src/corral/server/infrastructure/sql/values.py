"""How values of the domain look in SQL: times as seconds, maps as JSON text, cursors as opaque text, texts both databases take.

Times are whole milliseconds: SQLite's JSON keeps 15 digits, and what is read must be what was written.

What a node reports is hostile until cleaned: a NUL, a lone surrogate, a number or a year out of range in one report would fail
the whole batch it travels in, or make a row unreadable for ever.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from corral.domain.errors import Invalid

_LAST_MOMENT: Final = 253402300799.0  # the end of the year 9999: the last second datetime can hold
_INT32: Final = 2**31 - 1
_INT63: Final = 2**63 - 1


def stamp(moment: datetime | None) -> float | None:
    return None if moment is None else round(moment.timestamp(), 3)


def seconds(moment: datetime) -> float:
    return round(moment.timestamp(), 3)


def moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def at(seconds: float) -> datetime:
    """The moment `seconds` after the epoch."""
    return datetime.fromtimestamp(seconds, UTC)


def clean(text: str) -> str:
    """`text` without NUL and lone surrogates."""
    if text.isascii():
        return text.replace("\0", "\ufffd") if "\0" in text else text
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def clean_seconds(value: float | None) -> float | None:
    """A moment datetime can hold, or None; NaN compares as false."""
    return round(value, 3) if value is not None and 0 <= value <= _LAST_MOMENT else None


def clean_int32(value: int | None) -> int | None:
    return None if value is None else max(-_INT32, min(_INT32, value))


def clean_count(value: int) -> int:
    return value if 0 <= value <= _INT63 else max(0, min(_INT63, value))


def dumps(value: Mapping[str, Any]) -> str:
    """JSON in ASCII: escapes keep NUL and surrogates out of the database's way."""
    return json.dumps(value, separators=(",", ":"), default=str) if value else "{}"


def dumps_list(values: Iterable[str]) -> str:
    return json.dumps(list(values), separators=(",", ":"))


def loads(text: str) -> Any:
    return {} if text == "{}" else json.loads(text)


def encode_cursor(*parts: str | int | float) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None, *kinds: type) -> tuple[Any, ...] | None:
    """The parts of a cursor we made, or None without one; raises Invalid for anything else."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        parts = json.loads(raw)
    except (ValueError, RecursionError):
        parts = None
    if (
        not isinstance(parts, list)
        or len(parts) != len(kinds)
        or not all(type(part) is kind for part, kind in zip(parts, kinds, strict=True))
    ):
        raise Invalid(
            f"cannot continue from cursor {cursor[:60]!r}: it is not one this server made",
            element="cursor",
            hint="pass the `next` of the page before, or none to start again",
        )
    return tuple(clean(part) if isinstance(part, str) else part for part in parts)
