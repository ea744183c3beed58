"""What a request may cost (faults: parser bombs, floods): body, JSON depth, query length, requests per caller."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from litestar.types import Receive

from corral.domain.errors import Invalid, TooLarge, TooMany

DEPTH_MAX: Final = 64
PARTS_MAX: Final = 100_000
"""Items and keys in one body. Each costs a hundred bytes and more once it is decoded, far above what it takes on the wire."""
PUBLIC_BODY_BYTES: Final = 64 << 10
"""What somebody without a token may send: an enrolment is two kilobytes."""
_CALLERS_MAX: Final = 10_000
# The closing quote is optional, so that the expression never has to go back: a broken string costs one pass.
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[\]{}]")


@dataclass(frozen=True, kw_only=True)
class Limits:
    body_max_bytes: int = 8 << 20
    query_max_bytes: int = 16 << 10
    requests_per_second: float = 500.0
    """Per caller; 0 = no cap. The burst is twice this."""


class Gone(Exception):
    """The client left before its request was complete: there is nobody to answer."""


async def read_body(receive: Receive, *, content_length: bytes | None, limit: int) -> bytes:
    """The whole body; raises TooLarge as soon as it is known to be beyond `limit`."""
    if content_length is not None:
        if not content_length.isdigit():
            raise Invalid("cannot read the request: content-length is no number", element="Content-Length")
        if len(content_length) > 18 or int(content_length) > limit:
            raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"cannot read the body: it is larger than {limit} bytes",
        element="body",
        hint="send less at once; large files travel as artifacts, not inside a request",
    )


def check_depth(body: bytes) -> None:
    """Raises Invalid when JSON nests deeper than 64 or has too many parts, before any parser sees it. Nothing else is checked."""
    brackets = body.count(b"[") + body.count(b"{")
    if brackets <= DEPTH_MAX and body.count(b",") <= PARTS_MAX:
        return
    depth = 0
    bare = _STRING.sub(b"", body)
    too_many = bare.count(b",") > PARTS_MAX or bare.count(b"[") + bare.count(b"{") > PARTS_MAX
    for match in () if too_many else _BRACKET.finditer(bare):
        depth += 1 if match[0] in b"[{" else -1
        if depth > DEPTH_MAX:
            break
    if too_many or depth > DEPTH_MAX:
        raise Invalid(
            f"cannot read the body: JSON nests deeper than {DEPTH_MAX}, or has more than {PARTS_MAX} parts",
            element="body",
            hint="send plain objects and lists",
        )


class RateCap:
    """A token bucket per caller. Memory is bounded: the caller seen longest ago is forgotten, with a full bucket."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, caller: str, *, now: float) -> None:
        """Raises TooMany when the caller has used up its share."""
        if not self._per_second:
            return
        burst = max(1.0, 2 * self._per_second)
        tokens, last = self._buckets.pop(caller, (burst, now))
        tokens = min(burst, tokens + (now - last) * self._per_second)
        self._buckets[caller] = (tokens - 1 if tokens >= 1 else tokens, now)
        if len(self._buckets) > _CALLERS_MAX:
            self._buckets.popitem(last=False)
        if tokens < 1:
            raise TooMany(
                f"cannot answer: more than {self._per_second:g} requests a second from one caller",
                hint="wait a second; live views come as events, there is no need to poll",
                retryable=True,
            )
