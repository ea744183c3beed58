"""What the connection adds to the library: no swallowed cancellation, a bounded buffer, our own errors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nats import errors

from corral.bus.connection import AWAY_BYTES_MAX, PENDING_BYTES_MAX, Connection
from corral.bus.port import BusError
from corral.bus.realm import Realm


class Library:
    """A client of the library as far as the connection uses it; it swallows cancellations as the real one does."""

    is_connected = True
    pending_data_size = 0

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.entered = asyncio.Event()

    async def publish(self, *_: Any, **__: Any) -> None:
        if self.error is not None:
            raise self.error
        await self._swallow()

    async def flush(self, _timeout: int) -> None: ...

    async def _flush_pending(self, force_flush: bool = False) -> None:
        await self._swallow()

    async def _send_command(self, _command: bytes) -> None: ...

    async def _swallow(self) -> None:
        self.entered.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            pass


@pytest.fixture
def connection() -> Connection:
    realm = Realm.create()
    return Connection(urls=lambda: ["nats://127.0.0.1:1"], credential=realm.server_credential, inbox="_I", name="x")


@pytest.mark.parametrize("verb", ["publish", "flush", "send_raw"])
async def test_a_cancellation_the_library_swallows_still_ends_the_caller(connection: Connection, verb: str) -> None:
    library: Any = Library()
    connection._nc = library
    calls = {
        "publish": lambda: connection.publish("a", b""),
        "flush": connection.flush,
        "send_raw": lambda: connection.send_raw([b"x"]),
    }

    async def forever() -> None:
        while True:
            await calls[verb]()

    task = asyncio.ensure_future(forever())
    await library.entered.wait()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=2)
    assert done
    assert task.cancelled()


async def test_cleanup_of_a_cancelled_task_may_still_publish(connection: Connection) -> None:
    """Only a cancellation that arrived during the call counts, not one the task is already ending for."""
    library: Any = Library()
    published = asyncio.Event()

    async def publish(*_: Any, **__: Any) -> None:
        published.set()

    library.publish = publish
    connection._nc = library

    async def work() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            await connection.publish("goodbye", b"")

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=2)
    assert published.is_set()


async def test_errors_of_the_library_become_ours(connection: Connection) -> None:
    for error, retryable in ((errors.MaxPayloadError(), False), (errors.ConnectionClosedError(), True)):
        library: Any = Library(error)
        connection._nc = library
        with pytest.raises(BusError) as caught:
            await connection.publish("a", b"")
        assert caught.value.retryable is retryable


async def test_an_engine_that_does_not_read_is_not_sent_more(connection: Connection) -> None:
    library: Any = Library()
    library.pending_data_size = PENDING_BYTES_MAX + 1
    connection._nc = library
    with pytest.raises(BusError, match="does not read"):
        await connection.publish("a", b"")


async def test_while_away_a_bounded_amount_is_kept_and_the_rest_refused(connection: Connection) -> None:
    for _ in range(8):
        await connection.publish_or_keep("a", bytes(AWAY_BYTES_MAX // 8))
    with pytest.raises(BusError):
        await connection.publish_or_keep("a", b"x")
    with pytest.raises(BusError):
        await connection.publish("a", b"never kept")
