"""A backup while the server runs: one at a time, and counted as made only when it was read to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from corral.domain.errors import Conflict
from corral.server.application.ports.access import Caller
from corral.server.application.system.backup import Backup

CALLER = Caller(name="ada", kind="token", permissions=frozenset({"system.write"}), address="127.0.0.1", request_id="r")


class Source:
    def __init__(self) -> None:
        self.made = 0
        self.closed = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AsyncIterator[bytes]]:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"one"
            yield b"two"

        try:
            yield chunks()
        finally:
            self.closed += 1

    def count(self) -> None:
        self.made += 1


async def test_it_is_made_when_it_was_read_to_its_end() -> None:
    source = Source()
    backup = Backup(source=source.open, made=source.count)
    assert b"".join([chunk async for chunk in await backup.stream(CALLER)]) == b"onetwo"
    assert (source.made, source.closed) == (1, 1)


async def test_a_reader_who_leaves_leaves_nothing_behind_and_the_next_one_may_come() -> None:
    source = Source()
    backup = Backup(source=source.open, made=source.count)
    async with aclosing(await backup.stream(CALLER)) as first:  # type: ignore[type-var]  # it is a generator
        assert await anext(first) == b"one"
        with pytest.raises(Conflict, match="another one is being made"):
            await backup.stream(CALLER)
    assert (source.made, source.closed) == (0, 1)
    assert b"".join([chunk async for chunk in await backup.stream(CALLER)]) == b"onetwo"
