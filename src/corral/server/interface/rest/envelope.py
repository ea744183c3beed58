"""What every JSON answer looks like: {code, message, data, timestamp} and, for pages, `next` (OSF-19)."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from corral.runtime.clock import SystemClock, iso

T = TypeVar("T")
_CLOCK = SystemClock()


class Envelope(msgspec.Struct, Generic[T], kw_only=True, omit_defaults=False):
    """`code` 0 = ok; otherwise an error code of domain.errors. `next` is the cursor of the next page, absent at the end."""

    data: T
    code: int = 0
    message: str = "ok"
    timestamp: str = ""
    next: str | None = None


class Problem(msgspec.Struct, kw_only=True):
    """An error: what happened, which element, what to do."""

    code: int
    message: str
    timestamp: str
    data: None = None
    element: str | None = None
    hint: str | None = None
    request_id: str = ""
    details: dict[str, Any] = {}  # msgspec copies struct defaults


def ok(data: T, *, next: str | None = None) -> Envelope[T]:
    return Envelope(data=data, timestamp=iso(_CLOCK.now()) or "", next=next)
