"""The pump: follows a job's output in the background for one watcher, a bounded number of chunks ahead of it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Final

from corral.domain.errors import CorralError
from corral.runtime.backoff import RECONNECT
from corral.runtime.clock import Clock
from corral.runtime.lifecycle import TaskSet
from corral.server.application.ports.jobs import OutputChunk, OutputLog

AHEAD: Final = 64
"""Chunks held for a slow watcher: 4 MiB; then the engine keeps them."""
PAGE: Final = 128

log = logging.getLogger("corral.watch")


class OutputPump:
    """Sets `wake` whenever there is something to take. `position` is the sequence of the last chunk taken over."""

    def __init__(
        self, output: OutputLog, job: str, node: str | None, after: int, wake: asyncio.Event, clock: Clock
    ) -> None:
        self.position = after
        self._output = output
        self._job = job
        self._node = node
        self._wake = wake
        self._clock = clock
        self._chunks: deque[OutputChunk] = deque()
        self._space = asyncio.Event()
        self._tasks = TaskSet("output-pump")

    def start(self) -> None:
        self._tasks.start(self._run(), name=self._job)

    def take(self) -> list[OutputChunk]:
        """Everything that arrived, in order."""
        chunks = list(self._chunks)
        self._chunks.clear()
        self._space.set()
        return chunks

    async def close(self) -> None:
        """Stop following; what arrived may still be taken. Safe to call twice."""
        await self._tasks.close()

    async def _run(self) -> None:
        attempt = 0
        while True:
            try:
                async for chunk in self._output.follow(self._job, node=self._node, after=self.position):
                    attempt = 0
                    while len(self._chunks) >= AHEAD:
                        self._space.clear()
                        await self._space.wait()
                    self._chunks.append(chunk)
                    self.position = chunk.sequence
                    self._wake.set()
            except CorralError as error:
                log.info("Cannot follow output of %s: %s; trying again", self._job, error, extra={"action": "follow"})
            await self._clock.sleep(RECONNECT.delay(attempt))
            attempt += 1
