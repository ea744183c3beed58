"""A backup while the server runs: one stream, consistent in itself, made by one caller at a time.

The database comes first and is one moment of it; objects are read after it, so that everything a stored job names is there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from corral.domain.errors import Conflict
from corral.server.application.ports.access import Caller

Source = Callable[[], AbstractAsyncContextManager[AsyncIterator[bytes]]]
"""Opens what is to be sent: everything temporary is gone when the context ends."""


class Backup:
    """`source` makes the bytes; `made` hears when a backup was read to its end."""

    def __init__(self, *, source: Source, made: Callable[[], None]) -> None:
        self._source = source
        self._made = made
        self._running = False

    async def stream(self, caller: Caller) -> AsyncIterator[bytes]:
        """The bytes of a backup. Raises Conflict while another is being made, before the first byte."""
        if self._running:
            raise Conflict(
                "cannot make a backup: another one is being made", element="backup", hint="try again in a minute"
            )
        return self._stream()

    async def _stream(self) -> AsyncIterator[bytes]:
        self._running = True
        try:
            async with self._source() as chunks:
                async for chunk in chunks:
                    yield chunk
            self._made()
        finally:
            self._running = False
