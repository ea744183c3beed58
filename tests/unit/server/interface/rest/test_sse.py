from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from litestar import Litestar, get
from litestar.response import Stream

from corral.server.interface.rest.sse import SseEvent, encode_event, last_event_id, sse

SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/live",
    "raw_path": b"/live",
    "query_string": b"",
    "headers": [],
    "scheme": "http",
    "server": ("test", 80),
    "client": ("192.0.2.1", 1),
    "root_path": "",
    "http_version": "1.1",
    "asgi": {"version": "3.0"},
}


class Client:
    """Takes what is sent; leaves when told."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.leave = asyncio.Event()
        self.arrived = asyncio.Condition()
        self._asked = False

    async def receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        async with self.arrived:
            self.frames.append(message.get("body", b""))
            self.arrived.notify_all()

    async def until(self, frame: bytes, times: int = 1) -> None:
        async with asyncio.timeout(5), self.arrived:
            await self.arrived.wait_for(lambda: self.frames.count(frame) >= times)


def app_of(events: AsyncGenerator[SseEvent, None], keepalive_seconds: float = 15.0) -> Any:
    @get("/live")
    async def live() -> Stream:
        return sse(events, keepalive_seconds=keepalive_seconds)

    return Litestar([live], openapi_config=None, logging_config=None)


async def test_an_event_leaves_at_once_silence_is_kept_alive_and_leaving_closes_the_source() -> None:
    closed = asyncio.Event()

    async def events() -> AsyncGenerator[SseEvent, None]:
        try:
            yield "first", 1, b"{}"
            await asyncio.Event().wait()
        finally:
            closed.set()

    client = Client()
    serving = asyncio.ensure_future(app_of(events(), 0.01)(SCOPE, client.receive, client.send))
    await client.until(b"event: first\nid: 1\ndata: {}\n\n")
    await client.until(b": keepalive\n\n", times=3)
    assert not closed.is_set()
    client.leave.set()
    async with asyncio.timeout(5):
        await serving
    assert closed.is_set()


async def test_a_keepalive_does_not_lose_the_event_that_comes_after_it() -> None:
    go = asyncio.Event()

    async def events() -> AsyncGenerator[SseEvent, None]:
        await go.wait()
        yield "late", 2, b"x"

    client = Client()
    serving = asyncio.ensure_future(app_of(events(), 0.01)(SCOPE, client.receive, client.send))
    await client.until(b": keepalive\n\n", times=2)
    go.set()
    async with asyncio.timeout(5):
        await serving
    assert b"event: late\nid: 2\ndata: x\n\n" in client.frames


async def test_a_source_that_fails_ends_the_stream_with_its_error() -> None:
    closed = asyncio.Event()

    async def events() -> AsyncGenerator[SseEvent, None]:
        try:
            yield "first", None, b"{}"
            raise ConnectionError("the engine went away")
        finally:
            closed.set()

    client = Client()
    with pytest.raises(Exception, match="response started"):
        await app_of(events())(SCOPE, client.receive, client.send)
    assert closed.is_set()


@pytest.mark.parametrize(
    ("event", "wire"),
    [
        (("a", None, b"{}"), b"event: a\ndata: {}\n\n"),
        (("a", 7, b""), b"event: a\nid: 7\ndata: \n\n"),
        (("a", "x", b"l1\r\nl2\rl3\nl4"), b"event: a\nid: x\ndata: l1\ndata: l2\ndata: l3\ndata: l4\n\n"),
    ],
)
def test_the_wire_form(event: SseEvent, wire: bytes) -> None:
    assert encode_event(*event) == wire


@pytest.mark.parametrize(
    ("header", "after", "place"),
    [
        ("7", 3, 7),
        (None, 3, 3),
        (None, None, 0),
        ("nonsense", 3, 3),
        ("-1", None, 0),
        ("9" * 30, None, 0),
        (None, -5, 0),
    ],
)
def test_a_reconnect_continues_where_the_header_says(header: str | None, after: int | None, place: int) -> None:
    assert last_event_id(header, after) == place
