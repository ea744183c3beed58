"""Server-Sent Events: an async generator of (event, id, data) becomes a live response.

Rules: nothing is buffered here; a comment goes out after 15 s of silence, so that proxies and clients know the line is alive; when
the client leaves, or does not read for a minute, the generator is closed at once and its `finally` runs before the request ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

import msgspec
from litestar.connection import Request
from litestar.response import Stream
from litestar.response.base import ASGIResponse
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import Receive, Send

from corral.runtime.lifecycle import TaskSet

SseEvent = tuple[str, int | str | None, bytes]
"""(event name, id or None, data). Ids are stream sequences: a client that comes back sends the last one as Last-Event-ID."""

KEEPALIVE_SECONDS: Final = 15.0
_STALLED_SECONDS: Final = 60.0
_KEEPALIVE: Final = b": keepalive\n\n"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def encode_event(event: str, id: int | str | None, data: bytes) -> bytes:
    """The wire form. Line ends inside `data` become several data lines, as the format wants."""
    head = f"event: {event}\n" if id is None else f"event: {event}\nid: {id}\n"
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return head.encode() + b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"


def json_event(event: str, data: Any, id: int | str | None = None) -> SseEvent:
    """An event whose data is `data` as JSON."""
    return event, id, msgspec.json.encode(data)


def last_event_id(header: str | None, after: int | None = None) -> int:
    """Where to continue: the header of a reconnecting client wins over the query's `after`; nonsense means the beginning."""
    if header is not None and header.isascii() and header.isdigit() and len(header) <= 19:
        return int(header)
    return max(0, after or 0)


def sse(events: AsyncGenerator[SseEvent, None], *, keepalive_seconds: float = KEEPALIVE_SECONDS) -> Stream:
    """The response of a handler: `return sse(generator())`."""
    return EventStream(events, keepalive_seconds=keepalive_seconds)


class EventStream(Stream):
    """A Stream of events that closes its generator when the response ends, however it ends."""

    def __init__(self, events: AsyncGenerator[SseEvent, None], *, keepalive_seconds: float) -> None:
        super().__init__(_frames(events), media_type="text/event-stream", headers=_HEADERS)
        self._events = events
        self._keepalive_seconds = keepalive_seconds

    def to_asgi_response(self, app: Any, request: Request[Any, Any, Any], **options: Any) -> ASGIResponse:
        return _LiveResponse(self._events, self._keepalive_seconds, status_code=options.get("status_code"))


class _LiveResponse(ASGIStreamingResponse):
    def __init__(
        self, events: AsyncGenerator[SseEvent, None], keepalive_seconds: float, *, status_code: int | None
    ) -> None:
        super().__init__(iterator=(), headers=_HEADERS, media_type="text/event-stream", status_code=status_code)
        self._events = events
        self._keepalive_seconds = keepalive_seconds
        self._quiet = True
        self._busy = False

    async def send_body(self, send: Send, receive: Receive) -> None:
        tasks = TaskSet("sse")
        try:
            pump = tasks.start(self._pump(send), name="pump")
            gone = tasks.start(_gone(receive), name="gone")
            tasks.start(self._keep_alive(send), name="keepalive")
            await asyncio.wait([pump, gone], return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()
        finally:
            await tasks.close()
            await self._events.aclose()

    async def _pump(self, send: Send) -> None:
        async for event in self._events:
            self._quiet, self._busy = False, True
            await _body(send, encode_event(*event))
            self._busy = False
        self._busy = True
        await _body(send, b"", more=False)

    async def _keep_alive(self, send: Send) -> None:
        while True:
            self._quiet = True
            await asyncio.sleep(self._keepalive_seconds)
            # Something went out meanwhile, or is just going out: the client knows that we live.
            if self._quiet and not self._busy:
                await _body(send, _KEEPALIVE)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(send: Send, data: bytes, *, more: bool = True) -> None:
    async with asyncio.timeout(_STALLED_SECONDS):
        await send({"type": "http.response.body", "body": data, "more_body": more})


async def _frames(events: AsyncGenerator[SseEvent, None]) -> AsyncGenerator[bytes, None]:
    """What a plain Stream would send: kept so that an EventStream is a complete Stream for whoever treats it as one."""
    async for event, id, data in events:
        yield encode_event(event, id, data)
