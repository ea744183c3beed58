"""The real link: core NATS over one connection that comes back by itself. Implements agent.link.port.Link.

Order on every connect: CONNECT, all subscriptions, PING; when its PONG is back the engine has them all, `connected` turns true and
the hooks run. Addresses are tried in turn for ever, with jitter; a credential the engine refuses is tried slowly, and again at once
when `jwt` gives another one. Everything sent before a loss may be lost: senders keep what matters and send it again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, cast

import corral
from corral.agent.link import wire
from corral.agent.link.address import Address, parse_all
from corral.agent.link.connection import Connection, Refused
from corral.agent.link.port import Handler, LinkDown, LinkMessage, NoAnswer
from corral.domain.errors import CorralError, TooLarge
from corral.runtime.backoff import RECONNECT, Backoff
from corral.runtime.clock import Clock
from corral.runtime.crypto import ed25519_sign
from corral.runtime.lifecycle import TaskSet
from corral.runtime.nkeys import decode_seed

log = logging.getLogger("corral.link")

AUTH_RETRY: Final = Backoff(delays_seconds=(1, 5, 10, 20, 40, 60))
"""After the engine refused who we are: the first may be an engine that still loads its accounts."""
TRIES_PER_ADDRESS: Final = 2
STABLE_SECONDS: Final = 5.0
BACKLOG_MESSAGES: Final = 8192
BACKLOG_BYTES: Final = 32 << 20
_JWT_LOOK_SECONDS: Final = 2.0
_CLOSE_SECONDS: Final = 1.0
_INBOX_SID: Final = 1
_NO_HEADERS: Final[Mapping[str, str]] = {}


class _Subscription:
    """One subject and its handler; `backlog` exists only while a coroutine of the handler runs."""

    __slots__ = ("backlog", "backlog_bytes", "dropped", "handler", "subject")

    def __init__(self, subject: str, handler: Handler) -> None:
        self.subject = subject
        self.handler = handler
        self.backlog: deque[LinkMessage] | None = None
        self.backlog_bytes = 0
        self.dropped = 0


class _Waiting:
    """One request: done by its first reply, or with `many` by the reply that carries a Status."""

    __slots__ = ("done", "many", "replies")

    def __init__(self, many: bool) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.many = many
        self.replies: list[LinkMessage] = []


class NatsLink:
    """`jwt` is asked before every CONNECT, so a renewed credential is used at the next one. `seed` is an nkey user seed."""

    __slots__ = (
        "_addresses",
        "_clock",
        "_connection",
        "_context",
        "_hooks",
        "_inbox",
        "_jwt",
        "_jwt_used",
        "_said",
        "_seed",
        "_serial",
        "_sids",
        "_subscriptions",
        "_tasks",
        "_waiting",
        "name",
        "reconnects",
    )

    def __init__(
        self,
        *,
        urls: Sequence[str],
        jwt: Callable[[], str],
        seed: str,
        inbox: str,
        clock: Clock,
        ssl_context: ssl.SSLContext | None = None,
        name: str = "link",
    ) -> None:
        self._addresses = parse_all(urls)
        self._jwt = jwt
        self._jwt_used = ""
        self._seed = decode_seed(seed)[1] if seed else b""
        # Nobody else can guess a reply subject: a node can make the engine deliver its bytes to any subject it can name.
        self._inbox = f"{inbox}.{os.urandom(9).hex()}."
        self._clock = clock
        self._context = ssl_context
        self.name = name
        self.reconnects = 0
        self._connection: Connection | None = None
        self._subscriptions: dict[int, _Subscription] = {}
        self._sids = _INBOX_SID
        self._hooks: list[Callable[[], Awaitable[None]]] = []
        self._waiting: dict[str, _Waiting] = {}
        self._serial = 0
        self._tasks = TaskSet(name)
        self._said = ""

    # agent.link.port.Link ------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        return self._connection is not None and not self._connection.closed.done()

    def on_connect(self, hook: Callable[[], Awaitable[None]]) -> None:
        self._hooks.append(hook)

    def subscribe(self, subject: str, handler: Handler) -> None:
        wire.check_subject(subject, wildcards=True)
        self._sids += 1
        self._subscriptions[self._sids] = _Subscription(subject, handler)
        if self._connection is not None:
            self._connection.write(wire.sub(subject, self._sids))

    def resubscribe(self) -> None:
        if self._connection is not None:
            entries = self._subscriptions.items()
            self._connection.write(b"".join(wire.unsub(sid) + wire.sub(entry.subject, sid) for sid, entry in entries))

    async def publish(
        self, subject: str, data: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        await self._send(wire.pub(subject, data, reply, headers))

    async def request(
        self, subject: str, data: bytes, *, timeout_seconds: float = 5.0, headers: Mapping[str, str] | None = None
    ) -> LinkMessage:
        return (await self._ask(subject, data, timeout_seconds, headers, many=False))[0]

    async def request_many(self, subject: str, data: bytes, *, timeout_seconds: float = 10.0) -> list[LinkMessage]:
        """The last of the list is the one with the Status header (204 = that was all, 404 = there is none, …)."""
        return await self._ask(subject, data, timeout_seconds, None, many=True)

    async def flush(self) -> None:
        await self._live().ping()

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        failures = 0
        try:
            while True:
                address = self._addresses[failures // TRIES_PER_ADDRESS % len(self._addresses)]
                connection = Connection(on_message=self._received)
                reason: Exception | None
                try:
                    await self._open(connection, address)
                    opened = self._clock.monotonic()
                    await asyncio.wait([connection.closed])  # not awaited itself: cancelling us must not cancel it
                    reason = connection.reason
                    # it was there: what came before says nothing; one that lets us in only to throw us out is not hurried
                    failures = 0 if self._clock.monotonic() - opened >= STABLE_SECONDS else min(failures, 1)
                    self.reconnects += 1
                except (OSError, CorralError) as error:
                    reason = error
                finally:
                    await self._close(connection)
                await self._pause(address, reason, failures)
                failures += 1
        finally:
            await self._tasks.close()

    # connecting ----------------------------------------------------------------------------------------------------

    async def _open(self, connection: Connection, address: Address) -> None:
        told = 0

        def subscriptions() -> bytes:
            nonlocal told
            told = self._sids
            own = wire.sub(f"{self._inbox}*", _INBOX_SID)
            return own + b"".join(wire.sub(entry.subject, sid) for sid, entry in self._subscriptions.items())

        await connection.open(address, self._context, self._login, subscriptions)
        self._connection = connection
        late = [wire.sub(entry.subject, sid) for sid, entry in self._subscriptions.items() if sid > told]
        if late:  # subscribed while the handshake was under way
            connection.write(b"".join(late))
            await connection.ping()
        log.info("Connected to %s", address, extra={"action": "link_up", "link": self.name})
        self._said = ""
        if self._hooks:
            self._tasks.start(self._run_hooks(connection), name="on-connect")

    def _login(self, nonce: str) -> Mapping[str, Any]:
        fields: dict[str, Any] = {
            "verbose": False,
            "pedantic": False,
            "lang": "corral",
            "version": corral.__version__,
            "name": self.name,
            "protocol": 1,
            "headers": True,
            "no_responders": True,
        }
        self._jwt_used = self._jwt()
        if self._jwt_used:
            fields["jwt"] = self._jwt_used
        if nonce and self._seed:
            fields["sig"] = wire.signature(ed25519_sign(self._seed, nonce.encode()))
        return fields

    async def _run_hooks(self, connection: Connection) -> None:
        for hook in self._hooks:
            if connection.closed.done():
                return
            try:
                await hook()
            except LinkDown:
                return  # the next connect runs them again
            except Exception:
                log.exception("Cannot finish what follows a connect; going on", extra={"action": "link_hook"})

    async def _close(self, connection: Connection) -> None:
        """Let buffered bytes out if the network takes them at once, then fail everybody who still waits for an answer."""
        connection.close()
        if not connection.closed.done():
            await asyncio.wait([connection.closed], timeout=_CLOSE_SECONDS)
            connection.abort(None)
            await asyncio.wait([connection.closed], timeout=_CLOSE_SECONDS)
        if self._connection is connection:
            self._connection = None
        for waiting in self._waiting.values():
            if not waiting.done.done():
                waiting.done.set_exception(connection.end())

    async def _pause(self, address: Address, reason: Exception | None, failures: int) -> None:
        text = str(reason) if reason is not None and str(reason) else "the connection ended"
        if text != self._said:
            self._said = text
            log.warning(
                "Cannot reach the engine at %s: %s; trying again",
                address,
                text,
                extra={"action": "link_down", "link": self.name},
            )
        if not (isinstance(reason, Refused) and reason.auth):
            await self._clock.sleep(RECONNECT.delay(failures))
            return
        left = AUTH_RETRY.delay(failures)
        while left > 0 and self._jwt_unchanged():
            await self._clock.sleep(min(left, _JWT_LOOK_SECONDS))
            left -= _JWT_LOOK_SECONDS

    def _jwt_unchanged(self) -> bool:
        try:
            return self._jwt() == self._jwt_used
        except (OSError, CorralError):
            return True

    # sending -------------------------------------------------------------------------------------------------------

    def _live(self) -> Connection:
        connection = self._connection
        if connection is None or connection.closed.done():
            raise LinkDown("cannot send: not connected to the engine", retryable=True)
        return connection

    async def _send(self, data: bytes) -> None:
        connection = self._live()
        size = len(data) - data.index(b"\r\n") - 4
        if size > connection.max_payload:
            raise TooLarge(f"cannot send {size} bytes: the engine takes {connection.max_payload} in one message")
        if connection.congested:
            await connection.drain()
            connection = self._live()
        connection.write(data)

    async def _ask(
        self, subject: str, data: bytes, timeout_seconds: float, headers: Mapping[str, str] | None, *, many: bool
    ) -> list[LinkMessage]:
        self._serial += 1
        token = f"{self._serial:x}"
        waiting = self._waiting[token] = _Waiting(many)
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._send(wire.pub(subject, data, self._inbox + token, headers))
                await waiting.done
        except TimeoutError:
            raise NoAnswer(f"cannot ask {subject!r}: no answer in {timeout_seconds:g} s", retryable=True) from None
        finally:
            del self._waiting[token]
            if waiting.done.done() and not waiting.done.cancelled():
                waiting.done.exception()  # seen: it may have come while the send itself was failing
        first = waiting.replies[0]
        if first.headers.get("Status") == "503" and not first.data:
            raise NoAnswer(f"cannot ask {subject!r}: nobody answers there", retryable=True)
        return waiting.replies

    # receiving -----------------------------------------------------------------------------------------------------

    def _received(self, msg: wire.Msg) -> None:
        headers = wire.parse_headers(msg.header) if msg.header else _NO_HEADERS
        message = LinkMessage(msg.subject, msg.payload, msg.reply, headers)
        if msg.sid == _INBOX_SID:
            self._answered(message)
            return
        subscription = self._subscriptions.get(msg.sid)
        if subscription is None:
            return
        if subscription.backlog is not None:
            self._queue(subscription, subscription.backlog, message)
        elif (rest := self._call(subscription, message)) is not None:
            subscription.backlog = deque()
            self._tasks.start(self._work(subscription, rest), name=subscription.subject)

    def _answered(self, message: LinkMessage) -> None:
        waiting = self._waiting.get(message.subject[len(self._inbox) :])
        if waiting is None or waiting.done.done():
            return
        waiting.replies.append(message)
        if not waiting.many or "Status" in message.headers:
            waiting.done.set_result(None)

    def _call(self, subscription: _Subscription, message: LinkMessage) -> Awaitable[None] | None:
        try:
            return subscription.handler(message)
        except Exception:
            log.exception(
                "Cannot handle a message; dropping it", extra={"action": "link_handler", "subject": message.subject}
            )
            return None

    def _queue(self, subscription: _Subscription, backlog: deque[LinkMessage], message: LinkMessage) -> None:
        size = subscription.backlog_bytes + len(message.data)
        if len(backlog) >= BACKLOG_MESSAGES or size > BACKLOG_BYTES:
            # Dropping is safe (sync repairs what pushes lose); holding the socket back would cost the whole connection.
            subscription.dropped += 1
            if subscription.dropped == 1:
                log.warning(
                    "Cannot keep up with %s; dropping messages until it has caught up",
                    subscription.subject,
                    extra={"action": "link_slow", "link": self.name},
                )
            return
        backlog.append(message)
        subscription.backlog_bytes = size

    async def _work(self, subscription: _Subscription, rest: Awaitable[None]) -> None:
        """Finish the handler's coroutine, then what arrived meanwhile, in order; then the subscription is idle again."""
        backlog = cast("deque[LinkMessage]", subscription.backlog)
        current: Awaitable[None] | None = rest
        subject = subscription.subject
        try:
            while True:
                if current is not None:
                    try:
                        await current
                    except Exception:
                        log.exception(
                            "Cannot handle a message; dropping it", extra={"action": "link_handler", "subject": subject}
                        )
                if not backlog:
                    break
                message = backlog.popleft()
                subscription.backlog_bytes -= len(message.data)
                subject = message.subject
                current = self._call(subscription, message)
        finally:
            subscription.backlog = None
            subscription.backlog_bytes = 0
            subscription.dropped = 0
