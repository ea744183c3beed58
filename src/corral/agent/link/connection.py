"""One connection to the engine, from the greeting to its end: handshake, TLS, keep-alive, coalesced writes, backpressure.

A `Connection` lives once: it is opened, used and lost. What survives a reconnect (subscriptions, hooks, retries) is the client's.
One timer per connection, no task of its own, no streams: a simulator holds ten thousand of these on one loop.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from corral.agent.link import wire
from corral.agent.link.address import Address
from corral.agent.link.port import LinkDown
from corral.runtime.backoff import spread

log = logging.getLogger("corral.link")

CONNECT_SECONDS: Final = 10.0
PING_SECONDS: Final = 20.0
PINGS_UNANSWERED: Final = 2
_FLUSH_BYTES: Final = 64 << 10
_WRITE_HIGH_BYTES: Final = 1 << 20


class Refused(LinkDown):
    """The engine answered the handshake or the session with an error; `auth` when it is about who we are."""

    def __init__(self, text: str) -> None:
        super().__init__(f"cannot stay connected: the engine says {text[:200]!r}", retryable=True)
        lowered = text.lower()
        self.auth = any(word in lowered for word in ("authorization", "expired", "revoked", "authentication")) and (
            "timeout" not in lowered
        )


class Connection(asyncio.Protocol):
    """`on_message` gets every MSG. `closed` is done once it ended, `reason` says why (None: nobody said)."""

    __slots__ = (
        "_buffer",
        "_buffered",
        "_drained",
        "_flush_wanted",
        "_info",
        "_loop",
        "_on_message",
        "_parser",
        "_paused",
        "_pongs",
        "_timer",
        "_transport",
        "_unanswered",
        "closed",
        "max_payload",
        "reason",
    )

    def __init__(self, *, on_message: Callable[[wire.Msg], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._parser = wire.Parser()
        self._transport: asyncio.Transport | None = None
        self._info: asyncio.Future[dict[str, Any]] | None = self._loop.create_future()
        self._pongs: list[asyncio.Future[None] | None] = []
        self._unanswered = 0
        self._timer: asyncio.TimerHandle | None = None
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._flush_wanted = False
        self._paused = False
        self._drained: asyncio.Future[None] | None = None
        self.reason: Exception | None = None
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.max_payload = 1 << 20

    # the handshake -------------------------------------------------------------------------------------------------

    async def open(
        self,
        address: Address,
        context: ssl.SSLContext | None,
        login: Callable[[str], Mapping[str, Any]],
        subscriptions: Callable[[], bytes],
    ) -> None:
        """Connect, upgrade to TLS, authenticate, subscribe; returns when the engine has handled all of it.

        `login` makes the CONNECT fields from the engine's nonce. Raises OSError, ssl.SSLError, TimeoutError or LinkDown.
        """
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._loop.create_connection(lambda: self, address.host, address.port)
                info = await cast("asyncio.Future[dict[str, Any]]", self._info)
                self._info = None
                secure = address.tls or bool(info.get("tls_required"))
                if secure:
                    await self._upgrade(address, context, info)
                limit = info.get("max_payload")
                self.max_payload = limit if isinstance(limit, int) and limit > 0 else self.max_payload
                fields = {**login(str(info.get("nonce") or "")), "tls_required": secure}
                self.write(wire.connect(fields) + subscriptions())
                await self.ping()
        except BaseException as error:
            self.abort(error if isinstance(error, Exception) else None)
            raise
        self._timer = self._loop.call_later(spread(PING_SECONDS, 0.1), self._keep_alive)

    async def _upgrade(self, address: Address, context: ssl.SSLContext | None, info: Mapping[str, Any]) -> None:
        if context is None:
            raise LinkDown(
                f"cannot connect to {address}: it wants TLS and this node has no CA for it",
                hint="enrol this machine again",
            )
        if not (info.get("tls_required") or info.get("tls_available")):
            raise LinkDown(f"cannot connect to {address}: it offers no TLS, and without it nothing is said")
        if self._parser.pending_bytes:
            raise LinkDown(f"cannot connect to {address}: it spoke in the clear where TLS had to begin")
        plain = cast("asyncio.Transport", self._transport)
        secure = await self._loop.start_tls(plain, self, context, server_hostname=address.host)
        if secure is None:
            raise LinkDown(f"cannot connect to {address}: it hung up during the TLS handshake", retryable=True)
        self._transport = secure
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)

    # sending -------------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send with everything else said in this turn of the loop: one system call, one TLS record."""
        self._buffer.append(data)
        self._buffered += len(data)
        if self._buffered >= _FLUSH_BYTES:
            self._flush()
        elif not self._flush_wanted:
            self._flush_wanted = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_wanted = False
        if self._buffer and self._transport is not None and not self._transport.is_closing():
            data = self._buffer[0] if len(self._buffer) == 1 else b"".join(self._buffer)
            self._transport.write(data)
        self._buffer.clear()
        self._buffered = 0

    @property
    def congested(self) -> bool:
        """More than a mebibyte waits for the network; wait for `drain` before you write more."""
        return self._paused

    async def drain(self) -> None:
        """Return when the network has taken what was written. Raises LinkDown when the connection ends first."""
        while self._paused:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    async def ping(self) -> None:
        """Return when the engine has handled everything sent before. Raises LinkDown or Refused when the connection ends first."""
        if self.closed.done():
            raise self.end()
        answered: asyncio.Future[None] = self._loop.create_future()
        self._pongs.append(answered)
        self.write(wire.PING)
        await answered

    def _keep_alive(self) -> None:
        if self._unanswered >= PINGS_UNANSWERED:
            self.abort(LinkDown(f"cannot reach the engine: {PINGS_UNANSWERED} pings unanswered", retryable=True))
            return
        self._unanswered += 1
        self._pongs.append(None)
        self.write(wire.PING)
        self._timer = self._loop.call_later(spread(PING_SECONDS, 0.1), self._keep_alive)

    # the end -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Say what is buffered, then hang up; `closed` is done when that happened."""
        self._flush()
        if self._transport is not None:
            self._transport.close()
        elif not self.closed.done():
            self.connection_lost(None)

    def abort(self, reason: Exception | None) -> None:
        """Hang up now; buffered bytes are dropped."""
        if self.reason is None:
            self.reason = reason
        self._buffer.clear()
        if self._transport is not None:
            self._transport.abort()
        elif not self.closed.done():
            self.connection_lost(None)

    def end(self) -> LinkDown:
        """What to tell those who waited for something on this connection."""
        if isinstance(self.reason, LinkDown):
            return self.reason
        return LinkDown("cannot reach the engine: the connection ended", retryable=True)

    # asyncio.Protocol ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._parser.feed(data):
                if type(event) is wire.Msg:
                    self._on_message(event)
                else:
                    self._control(event)
        except wire.WireError as error:
            self.abort(LinkDown(str(error), retryable=True))

    def _control(self, event: wire.Event) -> None:
        if type(event) is wire.Ping:
            self.write(wire.PONG)
        elif type(event) is wire.Pong:
            self._unanswered = 0
            if self._pongs and (waiter := self._pongs.pop(0)) is not None and not waiter.done():
                waiter.set_result(None)
        elif type(event) is wire.Info:
            if self._info is not None and not self._info.done():
                self._info.set_result(event.fields)
        elif type(event) is wire.Err:
            self._refused(event.text)

    def _refused(self, text: str) -> None:
        if text.lower().startswith(("permissions violation", "invalid subject", "maximum subscriptions")):
            # The connection goes on without this one thing; it is our bug or a narrowed role, and worth one line each.
            log.warning("Cannot do everything asked for: %s", text[:200], extra={"action": "link_denied"})
            return
        self.reason = Refused(text)  # the engine hangs up by itself now; if it does not, the pings notice

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self.closed.done():
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.reason is None:
            self.reason = exc
        self._transport = None
        self._paused = False
        waiters = [*self._pongs, self._info, self._drained]
        self._pongs.clear()
        self._buffer.clear()
        for waiter in waiters:
            if waiter is not None and not waiter.done():
                waiter.set_exception(self.end())
                waiter.exception()  # whoever waits gets it; nobody waiting is no error
        self._drained = None
        self.closed.set_result(None)
