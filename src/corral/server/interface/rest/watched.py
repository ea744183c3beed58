"""A request that goes on for long (events, output, a backup) ends soon after the access it began with: as if the client had left.

A log that somebody follows would otherwise go on telling a user who was disabled an hour ago. A stream of events is ended in order, and
its client comes back for what it may see now; a body of octets breaks off, so that nobody takes half of it for the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from litestar.types import Receive

from corral.domain.errors import Unavailable
from corral.runtime.lifecycle import TaskSet

EVERY_SECONDS: Final = 1.0


class Watched:
    """Stands in for `receive`. `over` says whether it was we who ended the request."""

    def __init__(
        self, receive: Receive, *, holds: Callable[[], Awaitable[bool]], every_seconds: float = EVERY_SECONDS
    ) -> None:
        self._receive = receive
        self._holds = holds
        self._every_seconds = every_seconds
        self.over = False

    async def __call__(self) -> Any:
        tasks = TaskSet("watched")
        waiting = tasks.start(self._next(), name="receive")
        try:
            while True:
                done, _ = await asyncio.wait([waiting], timeout=self._every_seconds)
                if done:
                    return waiting.result()
                if not await self._still():
                    self.over = True
                    return {"type": "http.disconnect"}
        finally:
            await tasks.close()

    async def _next(self) -> Any:
        return await self._receive()

    async def _still(self) -> bool:
        try:
            return await self._holds()
        except Unavailable:
            return True  # who may know does not answer: the next second says
