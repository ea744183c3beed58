"""The answer on its way out: security headers, the request id, and a look at the body of what is not a stream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from litestar.types import Send

_KEPT_MAX_BYTES: Final = (1 << 20) + 1
_HEADERS: Final = {
    b"content-security-policy": b"default-src 'self'; base-uri 'none'; form-action 'self'; "
    b"frame-ancestors 'none'; object-src 'none'",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}
_HTTPS_HEADERS: Final = {b"strict-transport-security": b"max-age=31536000"}


class Answer:
    """Wraps `send`. `before_end` runs once: before the last byte, or for a stream before the first."""

    def __init__(self, send: Send, *, request_id: str, secure: bool, raw: bool) -> None:
        self._send = send
        self._request_id = request_id
        self._secure = secure
        self._raw = raw
        self._noted = False
        self.before_end: Callable[[], Awaitable[None]] | None = None
        self.status = 500
        self.started = False
        self.events = False
        """Whether it is a stream of events."""
        self.body = bytearray()
        """The beginning of the body, at most 1 MiB + 1; empty for streams."""

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._raw and self.status < 400:
                await self._note()
            self.started = True
            self.events = any(
                name.lower() == b"content-type" and value.startswith(b"text/event-stream")
                for name, value in message.get("headers", ())
            )
            message = {**message, "headers": self._headers(message.get("headers", ()))}
        elif message["type"] == "http.response.body":
            if not self._raw and len(self.body) < _KEPT_MAX_BYTES:
                self.body += message.get("body", b"")[: _KEPT_MAX_BYTES - len(self.body)]
            if not message.get("more_body", False):
                await self._note()
        await self._send(message)

    async def whole(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """A complete JSON answer of the frame itself."""
        pairs = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        pairs += [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": pairs})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def _note(self) -> None:
        if not self._noted and self.before_end is not None:
            self._noted = True
            await self.before_end()

    def _headers(self, given: Any) -> list[tuple[bytes, bytes]]:
        pairs = [(name.lower(), value) for name, value in given]
        present = {name for name, _ in pairs}
        extra = _HEADERS | _HTTPS_HEADERS if self._secure else _HEADERS
        pairs += [(name, value) for name, value in extra.items() if name not in present]
        pairs.append((b"x-request-id", self._request_id.encode()))
        return pairs
