"""A request that goes on ends with the access it began with, and not before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from corral.domain.errors import Unavailable
from corral.server.interface.rest.watched import Watched


class Line:
    """The client's side: what it sends, when the test says so."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.asked = 0
        self.holds: list[bool | Exception] = []

    async def receive(self) -> Any:
        return await self.messages.get()

    async def still(self) -> bool:
        self.asked += 1
        found = self.holds.pop(0) if self.holds else True
        if isinstance(found, Exception):
            raise found
        return found

    def watched(self) -> Watched:
        return Watched(self.receive, holds=self.still, every_seconds=0.005)


async def test_what_the_client_sends_comes_through() -> None:
    line = Line()
    watched = line.watched()
    for kind in ("http.request", "http.disconnect"):
        line.messages.put_nowait({"type": kind})
        assert (await watched())["type"] == kind
    assert not watched.over


async def test_access_that_lasts_is_asked_about_again_and_again() -> None:
    line = Line()
    waiting = asyncio.ensure_future(line.watched()())
    while line.asked < 5:
        await asyncio.sleep(0.001)
    assert not waiting.done()
    line.messages.put_nowait({"type": "http.disconnect"})
    assert (await waiting)["type"] == "http.disconnect"


async def test_access_that_ends_looks_like_a_client_that_left() -> None:
    line = Line()
    line.holds = [True, False]
    watched = line.watched()
    assert await watched() == {"type": "http.disconnect"}
    assert (watched.over, line.asked) == (True, 2)


async def test_a_database_that_is_away_for_a_moment_ends_nothing() -> None:
    line = Line()
    line.holds = [Unavailable("cannot reach it"), Unavailable("cannot reach it"), True, False]
    watched = line.watched()
    assert await watched() == {"type": "http.disconnect"}
    assert line.asked == 4


async def test_nothing_is_left_running_when_the_request_is_cancelled() -> None:
    line = Line()
    before = asyncio.all_tasks()
    waiting = asyncio.ensure_future(line.watched()())
    while not line.asked:
        await asyncio.sleep(0.001)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert asyncio.all_tasks() == before
