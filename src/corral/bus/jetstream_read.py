"""Reading stored messages without a consumer: batched DIRECT.GET. And following a subject: an ephemeral ordered consumer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final

from nats.aio.msg import Msg

from corral.bus.connection import Connection
from corral.bus.jetstream_api import ask
from corral.bus.jetstream_consume import as_message, consumer_sequence
from corral.bus.port import BusError, BusMessage, NotFoundOnBus
from corral.protocol.topology import NANOSECONDS

READ_SECONDS: Final = 10.0
FOLLOW_BATCH: Final = 128
FOLLOW_BYTES: Final = 4 << 20
FOLLOW_REQUEST_SECONDS: Final = 20.0
FOLLOW_IDLE_SECONDS: Final = 60
_SEQUENCE: Final = "Nats-Sequence"
_SUBJECT: Final = "Nats-Subject"
_TIME: Final = "Nats-Time-Stamp"


async def direct_batch(
    connection: Connection, stream: str, subject: str, *, from_sequence: int, batch: int
) -> tuple[list[BusMessage], bool]:
    """(messages, whether more are stored) from one request; the engine may stop before `batch` for the sake of its memory."""
    inbox = connection.new_inbox()
    queue: asyncio.Queue[Msg | None] = asyncio.Queue()
    subscription = await connection.subscribe(inbox, queue.put_nowait)
    epoch = connection.epoch
    try:
        body = {"seq": max(1, from_sequence), "next_by_subj": subject, "batch": batch}
        await connection.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(body).encode(), reply=inbox)
        found: list[BusMessage] = []
        while True:
            try:
                async with asyncio.timeout(READ_SECONDS):
                    message = await queue.get()
            except TimeoutError:
                raise _cut(stream) from None
            if message is None or connection.epoch != epoch:
                raise _cut(stream)
            headers = message.headers or {}
            status = headers.get("Status")
            if status is None:
                found.append(_stored(message))
            elif status == "204":
                return found, headers.get("Nats-Num-Pending", "0") != "0"
            elif status == "404":
                return found, False
            elif status == "503":
                raise NotFoundOnBus(
                    f"cannot read {stream!r}: the engine has no such stream", element=stream, retryable=True
                )
            else:
                raise BusError(f"cannot read {stream!r}: {headers.get('Description', status)}", element=stream)
    finally:
        await subscription.close()


async def read(
    connection: Connection, stream: str, subject: str, *, from_sequence: int, limit: int
) -> list[BusMessage]:
    """Up to `limit` stored messages that match the filter, in order. Empty at the end."""
    found: list[BusMessage] = []
    while len(found) < limit:
        part, more = await direct_batch(
            connection, stream, subject, from_sequence=from_sequence, batch=limit - len(found)
        )
        found += part
        if not more or not part:
            break
        from_sequence = part[-1].sequence + 1
    return found


async def stream_info(connection: Connection, stream: str) -> dict[str, Any]:
    return await ask(connection, f"STREAM.INFO.{stream}")


class Follower:
    """Stored and then live messages of a filter, in order and without gap; the consumer is made anew whenever in doubt.

    In doubt means: the connection is another one, a number is missing, or the engine said the consumer is gone. A stream that was
    wiped meanwhile counts from 1 again, and so do we.
    """

    def __init__(self, connection: Connection, *, stream: str, subject: str, from_sequence: int) -> None:
        self._connection = connection
        self._stream = stream
        self._subject = subject
        self._next = max(1, from_sequence)
        self._created = ""
        self._queue: asyncio.Queue[Msg] = asyncio.Queue()
        self._delivered = 0

    async def messages(self) -> AsyncIterator[BusMessage]:
        """Ends only by being closed; an engine that is away is waited for."""
        while True:
            try:
                async for message in self._one_consumer():
                    self._next = message.sequence + 1
                    yield message
            except BusError as error:
                if not error.retryable:
                    raise
                await asyncio.sleep(0.1)

    async def _one_consumer(self) -> AsyncIterator[BusMessage]:
        """Raises BusError (retryable) when this consumer can no longer be trusted."""
        connection = self._connection
        epoch = connection.epoch
        info = await stream_info(connection, self._stream)
        if self._created and info["created"] != self._created:
            self._next = 1
        self._created = info["created"]
        queue = self._queue = asyncio.Queue()
        inbox = connection.new_inbox()
        subscription = await connection.subscribe(inbox, queue.put_nowait)
        name = ""
        try:
            name = await self._create()
            expected, outstanding, deadline = 1, 0, 0.0
            loop = asyncio.get_running_loop()
            while True:
                if outstanding <= 0:
                    await self._request(name, inbox)
                    outstanding, deadline = FOLLOW_BATCH, loop.time() + FOLLOW_REQUEST_SECONDS + 5
                message = await self._receive(queue, epoch, deadline)
                if message is None:
                    raise self._doubt("the engine did not answer a pull")
                headers = message.headers or {}
                status = headers.get("Status")
                if status in ("408", "409") and "Deleted" not in headers.get("Description", ""):
                    outstanding = 0
                elif status == "100":
                    continue
                elif status is not None:
                    raise self._doubt(f"the engine said {headers.get('Description', status)!r}")
                else:
                    if consumer_sequence(message.reply) != expected:
                        raise self._doubt("a message is missing")
                    expected += 1
                    outstanding -= 1
                    yield as_message(message)
        finally:
            await subscription.close()
            if name and connection.connected and connection.epoch == epoch:
                try:
                    await ask(connection, f"CONSUMER.DELETE.{self._stream}.{name}", timeout_seconds=1)
                except BusError:
                    pass  # it goes by itself when idle

    async def _create(self) -> str:
        config = {
            "ack_policy": "none",
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._next,
            "filter_subject": self._subject,
            "inactive_threshold": FOLLOW_IDLE_SECONDS * NANOSECONDS,
            "mem_storage": True,
            "num_replicas": 1,
            "max_deliver": -1,
            "replay_policy": "instant",
        }
        body = {"stream_name": self._stream, "config": config, "action": "create"}
        answer = await ask(self._connection, f"CONSUMER.CREATE.{self._stream}", body)
        return str(answer["name"])

    async def _request(self, name: str, inbox: str) -> None:
        body = {
            "batch": FOLLOW_BATCH,
            "max_bytes": FOLLOW_BYTES,
            "expires": int(FOLLOW_REQUEST_SECONDS * NANOSECONDS),
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{name}"
        await self._connection.publish(subject, json.dumps(body).encode(), reply=inbox)

    async def _receive(self, queue: asyncio.Queue[Msg], epoch: int, deadline: float) -> Msg | None:
        """The next message; None after the deadline. Looks once a second whether the connection is still the same one."""
        loop = asyncio.get_running_loop()
        while True:
            if not queue.empty():
                return queue.get_nowait()
            if self._connection.epoch != epoch or not self._connection.connected:
                raise self._doubt("the connection broke")
            remaining = deadline - loop.time()
            if remaining <= 0:
                return None
            try:
                async with asyncio.timeout(min(remaining, 1.0)):
                    return await queue.get()
            except TimeoutError:
                continue

    def _doubt(self, cause: str) -> BusError:
        return BusError(f"cannot follow {self._stream!r}: {cause}", element=self._stream, retryable=True)


def _stored(message: Msg) -> BusMessage:
    """A message answered by DIRECT.GET: its own subject and sequence come in headers."""
    headers = message.headers or {}
    own = {key: value for key, value in headers.items() if not key.startswith("Nats-")}
    return BusMessage(
        subject=headers[_SUBJECT],
        data=message.data,
        headers=own,
        sequence=int(headers[_SEQUENCE]),
        at=_moment(headers.get(_TIME, "")),
    )


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def _cut(stream: str) -> BusError:
    return BusError(f"cannot read {stream!r}: the connection broke", element=stream, retryable=True)
