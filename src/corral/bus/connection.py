"""One connection to the engine on nats-py, kept alive by us.

nats-py closes for good on some refusals (an account that is not loaded yet, a revocation, too many connections), so its own
reconnect is off and this file has the only reconnect loop: connect, subscribe again, run the hooks, wait for the end, back off,
repeat. Requests in flight fail at once when the connection breaks; publishes made while it is away wait in a bounded buffer.
Every exception of nats-py is translated here and nowhere else.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from nats import errors as nats_errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from corral.bus.port import BusError, NoResponder
from corral.bus.realm import Credential
from corral.domain.errors import CorralError
from corral.runtime.backoff import Backoff

log = logging.getLogger("corral.bus")

PENDING_BYTES_MAX: Final = 64 << 20
"""More than this unsent means the engine does not read: refuse instead of growing."""
AWAY_BYTES_MAX: Final = 8 << 20
"""What `publish` keeps while the connection is away."""
FLUSH_SECONDS: Final = 10
CONNECT_SECONDS: Final = 5
CLOSE_SECONDS: Final = 2
RECONNECT: Final = Backoff(delays_seconds=(0.1, 0.2, 0.5, 1), jitter=0.3)
"""Servers are few and everybody waits for them: no need to spread them as far as nodes."""
"""The library waits for ever for the end of a connection whose TLS handshake failed."""

Handler = Callable[[Msg], None]
Hook = Callable[[], Awaitable[None]]


@contextlib.contextmanager
def _cancellable() -> Iterator[None]:
    """The library swallows a cancellation that arrives while it flushes; raise it again, or the caller never stops."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    yield
    if task and task.cancelling() > before:
        raise asyncio.CancelledError


class Subscription:
    """A subject and its handler; survives reconnects until `close`."""

    def __init__(self, connection: Connection, subject: str, handler: Handler) -> None:
        self._connection = connection
        self.subject = subject
        self.handler = handler
        self.live: Any = None

    async def close(self) -> None:
        await self._connection.unsubscribe(self)


class Connection:
    """Component-like: `run` keeps it connected until cancelled. `epoch` counts the connections made so far."""

    def __init__(
        self,
        *,
        urls: Callable[[], Sequence[str]],
        credential: Callable[[], Credential],
        inbox: str,
        name: str,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name
        self.epoch = 0
        self._urls = urls
        self._credential = credential
        self._tls = tls
        self._inbox = inbox
        self._tokens = 0
        self._nc: Client | None = None
        self._closed = asyncio.Event()
        self._subscriptions: list[Subscription] = []
        self._answers: dict[str, asyncio.Future[Msg]] = {}
        self._answer_prefix = ""
        self._away: deque[tuple[str, bytes]] = deque()
        self._away_bytes = 0
        self._on_connect: list[Hook] = []
        self._on_loss: list[Callable[[], None]] = []
        self._last_error = "not connected yet"

    # -- life

    async def run(self, ready: Callable[[], None]) -> None:
        attempt = 0
        try:
            while True:
                try:
                    with _cancellable():
                        await self._connect()
                    attempt = 0
                    ready()
                    await self._closed.wait()
                except (CorralError, OSError, TimeoutError, nats_errors.Error) as error:
                    self._last_error = str(error) or type(error).__name__
                await self._drop()
                level = logging.WARNING if attempt in (0, 10) else logging.DEBUG
                log.log(
                    level,
                    "Cannot reach the engine (%s): %s; trying again",
                    self.name,
                    self._last_error,
                    extra={"action": "engine_lost"},
                )
                await asyncio.sleep(RECONNECT.delay(attempt))
                attempt += 1
        finally:
            await self._drop()

    def on_connect(self, hook: Hook) -> None:
        """Run after every (re)connect, subscriptions in place; a hook that raises breaks the connection and it is made anew."""
        self._on_connect.append(hook)

    def on_loss(self, hook: Callable[[], None]) -> None:
        self._on_loss.append(hook)

    @property
    def connected(self) -> bool:
        return self._nc is not None and self._nc.is_connected

    @property
    def last_error(self) -> str:
        return self._last_error

    async def _connect(self) -> None:
        self._closed = closed = asyncio.Event()
        credential = self._credential()

        async def on_closed() -> None:
            closed.set()

        async def on_error(error: Exception) -> None:
            self._last_error = str(error) or type(error).__name__
            if isinstance(error, nats_errors.SlowConsumerError):
                log.error(
                    "Cannot keep up with the engine (%s): %s", self.name, error, extra={"action": "slow_consumer"}
                )

        self._nc = nc = Client()
        await nc.connect(
            list(self._urls()),
            name=f"corral-{self.name}",
            inbox_prefix=self._inbox,
            user_jwt_cb=lambda: bytearray(credential.jwt.encode()),
            signature_cb=lambda nonce: base64.b64encode(credential.key.sign(nonce.encode())),
            allow_reconnect=False,
            max_reconnect_attempts=1,  # per address, within this one attempt
            reconnect_time_wait=0.1,  # type: ignore[arg-type]  # nats-py sleeps this; it takes a float
            closed_cb=on_closed,
            error_cb=on_error,
            connect_timeout=CONNECT_SECONDS,
            ping_interval=10,
            max_outstanding_pings=2,
            pending_size=8 << 20,
            flush_timeout=FLUSH_SECONDS,
            flusher_queue_size=65536,
            tls=self._tls,
        )
        self._answer_prefix = nc.new_inbox()
        await self._listen(nc, f"{self._answer_prefix}.*", self._answered)
        for subscription in self._subscriptions:
            subscription.live = await self._listen(nc, subscription.subject, subscription.handler)
        await self.flush()
        self.epoch += 1
        for hook in self._on_connect:
            await hook()
        while self._away:
            subject, data = self._away.popleft()
            self._away_bytes -= len(data)
            await nc.publish(subject, data)

    async def _drop(self) -> None:
        nc, self._nc = self._nc, None
        if nc is not None:
            with contextlib.suppress(Exception):  # whatever a dying connection says, it is going
                await asyncio.wait_for(nc.close(), CLOSE_SECONDS)
            for loss in self._on_loss:
                loss()
        waiting, self._answers = self._answers, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(self._lost())

    # -- messages

    async def publish(
        self, subject: str, data: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Raises BusError when away (nothing is buffered: for requests and acknowledgements a late copy is useless)."""
        nc = self._live()
        if nc.pending_data_size > PENDING_BYTES_MAX:
            raise BusError("cannot send to the engine: it does not read", element="engine", retryable=True)
        try:
            with _cancellable():
                await nc.publish(subject, data, reply=reply, headers=dict(headers) if headers else None)
        except nats_errors.Error as error:
            raise _translated("send to the engine", error) from None

    async def publish_or_keep(self, subject: str, data: bytes) -> None:
        """Like publish, but keeps a bounded amount while away and sends it, in order, after the reconnect."""
        if self.connected and not self._away:
            await self.publish(subject, data)
            return
        if self._away_bytes + len(data) > AWAY_BYTES_MAX:
            raise self._lost()
        self._away.append((subject, data))
        self._away_bytes += len(data)

    async def send_raw(self, commands: Iterable[bytes]) -> None:
        """Ready protocol lines in one write: acknowledging a thousand messages one by one costs ten times as much."""
        nc = self._live()
        with _cancellable():
            await nc._send_command(b"".join(commands))
            await nc._flush_pending()

    async def request(
        self, subject: str, data: bytes, *, timeout_seconds: float, headers: Mapping[str, str] | None = None
    ) -> Msg:
        """Raises NoResponder at once, BusError after the timeout or when the connection breaks."""
        self._live()
        self._tokens += 1
        token = f"{self._answer_prefix}.{self._tokens}"
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Msg] = loop.create_future()
        self._answers[token] = future
        timer = loop.call_later(timeout_seconds, _time_out, future, subject, timeout_seconds)
        try:
            await self.publish(subject, data, reply=token, headers=headers)
            message = await future
        finally:
            timer.cancel()
            self._answers.pop(token, None)
        if message.headers and message.headers.get("Status") == "503":
            raise NoResponder(f"cannot ask {subject!r}: nobody listens", element=subject, retryable=True)
        return message

    async def flush(self) -> None:
        """Everything published or subscribed before has been processed by the engine."""
        nc = self._live()
        try:
            with _cancellable():
                await nc._flush_pending(force_flush=True)  # the library's ping overtakes what is still in its buffer
                await nc.flush(FLUSH_SECONDS)
        except nats_errors.Error as error:
            raise _translated("reach the engine", error) from None

    def new_inbox(self) -> str:
        return self._live().new_inbox()

    async def subscribe(self, subject: str, handler: Handler) -> Subscription:
        """`handler` is called in order on the loop and must not block; the subscription survives reconnects."""
        subscription = Subscription(self, subject, handler)
        self._subscriptions.append(subscription)
        if self._nc is not None and self._nc.is_connected:
            try:
                subscription.live = await self._listen(self._nc, subject, handler)
            except nats_errors.Error:
                pass  # lost just now: the reconnect subscribes
        return subscription

    async def unsubscribe(self, subscription: Subscription) -> None:
        with contextlib.suppress(ValueError):
            self._subscriptions.remove(subscription)
        live, subscription.live = subscription.live, None
        if live is not None and self.connected:
            with contextlib.suppress(nats_errors.Error, OSError), _cancellable():
                await live.unsubscribe()

    @staticmethod
    async def _listen(nc: Client, subject: str, handler: Handler) -> Any:
        async def deliver(message: Msg) -> None:
            try:
                handler(message)
            except Exception:
                log.exception("Cannot handle a message on %s", message.subject, extra={"action": "handler_failed"})

        with _cancellable():
            return await nc.subscribe(subject, cb=deliver, pending_msgs_limit=1 << 20, pending_bytes_limit=256 << 20)

    def _answered(self, message: Msg) -> None:
        future = self._answers.get(message.subject)
        if future is not None and not future.done():
            future.set_result(message)

    def _live(self) -> Client:
        if self._nc is None or not self._nc.is_connected:
            raise self._lost()
        return self._nc

    def _lost(self) -> BusError:
        return BusError(f"cannot reach the engine: {self._last_error}", element="engine", retryable=True)


def _time_out(future: asyncio.Future[Msg], subject: str, seconds: float) -> None:
    if not future.done():
        future.set_exception(
            BusError(f"cannot ask {subject!r}: no answer in {seconds:g} s", element=subject, retryable=True)
        )


def _translated(verb: str, error: Exception) -> CorralError:
    retryable = not isinstance(error, (nats_errors.MaxPayloadError, nats_errors.BadSubjectError))
    return BusError(f"cannot {verb}: {error or type(error).__name__}", element="engine", retryable=retryable)
