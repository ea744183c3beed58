"""Reading a shared durable consumer: our own pull loop, one request in flight, acknowledgements in one write.

Next to the library's fetch() this keeps one long-lived inbox and asks for the following batch while the caller works on the last
one. What lies in the buffer for longer than the acknowledgement wait is thrown away: the engine has given it to somebody else.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from nats.aio.msg import Msg

from corral.bus.connection import Connection, Subscription
from corral.bus.port import BusError, BusMessage
from corral.protocol.topology import NANOSECONDS

log = logging.getLogger("corral.bus")

REQUEST_SECONDS: Final = 5.0
"""A pull request lives this long at the engine; it is renewed, so a lost one costs at most this."""
STALE_SECONDS: Final = 4.0
"""Less than the acknowledgement wait (protocol.topology)."""
_ACK: Final = b"+ACK"


def stream_sequence(ack: str) -> int:
    """The stream sequence inside an acknowledgement subject; both formats end alike.

    v1  $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>
    v2  $JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>[.<token>]
    """
    return int(_field(ack, 1))


def consumer_sequence(ack: str) -> int:
    return int(_field(ack, 2))


def stored_at(ack: str) -> float:
    """When the engine stored it, in seconds since the epoch."""
    return int(_field(ack, 3)) / NANOSECONDS


def _field(ack: str, after_delivered: int) -> str:
    parts = ack.split(".")
    delivered = 4 if len(parts) == 9 else 6
    return parts[delivered + after_delivered]


class PullBatches:
    """Batches of port.py over one durable consumer. One reader at a time."""

    def __init__(
        self, connection: Connection, *, stream: str, durable: str, heal: Callable[[], Awaitable[None]]
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._heal = heal
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._requests = 0
        self._epoch = 0
        self._outstanding = 0
        self._expires = 0.0
        self._broken = False
        self._buffer: deque[tuple[float, Msg]] = deque()
        self._arrived = asyncio.Event()
        connection.on_loss(self._lost)

    async def next(self, *, limit: int, wait_seconds: float) -> Sequence[BusMessage]:
        """Up to `limit` messages; waits at most `wait_seconds` for the first. Raises BusError when the engine is away for longer."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_seconds
        while True:
            self._arrived.clear()
            try:
                await self._pull(limit)
            except BusError:
                # Away: the caller's wait is over only when its time is; most interruptions are shorter.
                if loop.time() >= deadline:
                    raise
            batch = self._take(limit)
            remaining = deadline - loop.time()
            if batch or remaining <= 0:
                return batch
            try:
                async with asyncio.timeout(
                    min(remaining, 0.2 if not self._outstanding else remaining, REQUEST_SECONDS)
                ):
                    await self._arrived.wait()
            except TimeoutError:
                continue

    async def ack(self, messages: Sequence[BusMessage]) -> None:
        """Acknowledge all in one write. A lost acknowledgement means a duplicate, which every reader expects."""
        lines = [
            b"PUB %b %d\r\n%b\r\n" % (message.ack.encode(), len(_ACK), _ACK) for message in messages if message.ack
        ]
        if lines:
            await self._connection.send_raw(lines)

    def _take(self, limit: int) -> list[BusMessage]:
        oldest = asyncio.get_running_loop().time() - STALE_SECONDS
        batch: list[BusMessage] = []
        while self._buffer and len(batch) < limit:
            arrived, message = self._buffer.popleft()
            if arrived >= oldest:
                batch.append(as_message(message))
        return batch

    async def _pull(self, limit: int) -> None:
        now = asyncio.get_running_loop().time()
        if self._broken:
            self._broken = False
            await self._heal()
        if self._subscription is None:
            self._inbox = self._connection.new_inbox()
            self._subscription = await self._connection.subscribe(f"{self._inbox}.*", self._receive)
        if self._outstanding > 0 and now < self._expires and self._epoch == self._connection.epoch:
            return
        if len(self._buffer) >= limit:
            return
        self._requests += 1
        self._epoch = self._connection.epoch
        self._outstanding = limit
        self._expires = now + REQUEST_SECONDS + 1
        body = {"batch": limit, "expires": int(REQUEST_SECONDS * NANOSECONDS)}
        try:
            await self._connection.publish(
                self._subject, json.dumps(body).encode(), reply=f"{self._inbox}.{self._requests}"
            )
        except BusError:
            self._outstanding = 0  # nobody heard it: ask again soon, not when it would have expired
            raise

    def _receive(self, message: Msg) -> None:
        if message.headers and "Status" in message.headers:
            status = message.headers["Status"]
            if message.subject == f"{self._inbox}.{self._requests}" and status != "100":
                self._outstanding = 0
            if status == "503" or (status == "409" and "Deleted" in message.headers.get("Description", "")):
                self._broken = True
            if status not in {"100", "404", "408"}:
                log.debug(
                    "The engine ended a pull from %s: %s", self._stream, message.headers, extra={"action": "pull_ended"}
                )
        else:
            self._outstanding -= 1
            self._buffer.append((asyncio.get_running_loop().time(), message))
        self._arrived.set()

    def _lost(self) -> None:
        self._buffer.clear()
        self._outstanding = 0
        self._arrived.set()


def as_message(message: Msg) -> BusMessage:
    """A message delivered by a consumer, in the port's words."""
    return BusMessage(
        subject=message.subject,
        data=message.data,
        headers=message.headers or {},
        sequence=stream_sequence(message.reply),
        ack=message.reply,
        at=stored_at(message.reply),
    )
