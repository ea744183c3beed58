"""The pull loop without an engine: what it does when its request is not heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from nats.aio.msg import Msg

from corral.bus.jetstream_consume import PullBatches
from corral.bus.port import BusError

ACK = "$JS.ACK.reports.ingest.1.7.7.1.0"


class FlakyConnection:
    """Refuses the first requests; after that every request is answered by one message at once."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.epoch = 1
        self.requests = 0
        self._handler: Callable[[Msg], None] = lambda message: None

    def on_loss(self, hook: Callable[[], None]) -> None: ...

    def new_inbox(self) -> str:
        return "_INBOX.x"

    async def subscribe(self, subject: str, handler: Callable[[Msg], None]) -> object:
        self._handler = handler
        return object()

    async def publish(self, subject: str, data: bytes, *, reply: str = "") -> None:
        self.requests += 1
        if self.refusals:
            self.refusals -= 1
            raise BusError("cannot reach the engine: gone", retryable=True)
        message = Msg(_client=None, subject=reply, reply=ACK, data=b"report")  # type: ignore[arg-type]  # no client behind it
        asyncio.get_running_loop().call_soon(self._handler, message)


async def heal() -> None: ...


async def test_a_request_that_was_not_heard_is_made_again_at_once_and_not_when_it_would_have_expired() -> None:
    connection: Any = FlakyConnection(refusals=2)
    batches = PullBatches(connection, stream="reports", durable="ingest", heal=heal)
    async with asyncio.timeout(2):
        messages = await batches.next(limit=10, wait_seconds=5)
    assert [message.data for message in messages] == [b"report"]
    assert connection.requests == 3
