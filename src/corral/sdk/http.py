"""HTTP/1.1 for the client: keep-alive connections, TLS, bodies as they arrive. Nothing here knows Corral's routes.

It drives h11 (the protocol engine inside httpx2) on asyncio streams directly: importing httpx2 and its first connection cost
136 ms of the 250 ms a whole `corral exec run` may take to start, this costs 30. Rules: every failure of the network leaves as
domain.errors.Unavailable (`retryable` tells a connection that broke from one that never was), and a connection goes back
to the pool only after both sides finished their message. Redirects and proxies are not followed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

import h11

from corral.domain.errors import Invalid, TooLarge, Unavailable

READ_BYTES: Final = 64 << 10
BODY_BYTES_MAX: Final = 256 << 20
IDLE_MAX: Final = 8
START_HINT: Final = "start one: corral up   (or name one: --url, CORRAL_URL, corral login)"


@dataclass(frozen=True)
class Address:
    """Where the server listens. `base` is a path prefix for servers behind a reverse proxy, '' as a rule."""

    host: str
    port: int
    secure: bool
    base: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def parse_url(url: str) -> Address:
    """`http(s)://host[:port][/base]` → Address; raises Invalid naming what is wrong."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError as error:
        raise Invalid(f"cannot use {url!r} as the server's URL: {error}", element="url") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Invalid(
            f"cannot use {url!r} as the server's URL: expected http:// or https:// and a host",
            element="url",
            hint="example: https://corral.example.com:8443",
        )
    secure = parts.scheme == "https"
    return Address(parts.hostname, port or (443 if secure else 80), secure, parts.path.rstrip("/"))


@dataclass(eq=False)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    state: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))
    used: bool = False

    def close(self) -> None:
        self.writer.transport.abort()


class Response:
    """Head received, body still to be read. Use as an async context manager, or call `read`."""

    def __init__(self, client: HttpClient, connection: _Connection, head: h11.Response, idle_seconds: float) -> None:
        self._client = client
        self._connection = connection
        self._idle_seconds = idle_seconds
        self.status: int = head.status_code
        self.headers: dict[str, str] = {k.decode("latin-1"): v.decode("latin-1") for k, v in head.headers}

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives; Unavailable (retryable) when it breaks off or stays silent for too long."""
        while True:
            event = await self._client.next_event(self._connection, self._idle_seconds)
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self._client.give_back(self._connection)
                return
            elif isinstance(event, h11.ConnectionClosed):
                raise self._client.broken("the connection was closed in the middle of an answer")

    async def read(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            async for chunk in self.chunks():
                parts.append(chunk)
                size += len(chunk)
                if size > BODY_BYTES_MAX:
                    raise TooLarge(f"cannot read an answer of more than {BODY_BYTES_MAX} bytes")
        except BaseException:
            self.close()
            raise
        return b"".join(parts)

    def close(self) -> None:
        """Drop the connection unless the body was read to its end. Safe to call twice."""
        self._client.drop(self._connection)

    async def __aenter__(self) -> Response:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class HttpClient:
    """Requests to one server. Not safe across event loops; safe for many coroutines of one loop."""

    def __init__(
        self, url: str, *, ca: str | None = None, connect_seconds: float = 5.0, answer_seconds: float = 60.0
    ) -> None:
        self.url = url
        self._address = parse_url(url)
        self._ca = ca
        self._connect_seconds = connect_seconds
        self._answer_seconds = answer_seconds
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        self._tls: ssl.SSLContext | None = None

    async def send(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        idle_seconds: float | None = None,
    ) -> Response:
        """Send one request and wait for the head of its answer. `target` begins with '/'."""
        wait = self._answer_seconds if idle_seconds is None else idle_seconds
        connection = await self._take()
        try:
            lines = [("Host", self._address.authority), *(headers or {}).items()]
            if body or method in ("POST", "PUT", "PATCH"):
                lines.append(("Content-Length", str(len(body))))
            request = h11.Request(method=method, target=self._address.base + target, headers=lines)
            connection.writer.write(
                (connection.state.send(request) or b"")
                + (connection.state.send(h11.Data(data=body)) or b"" if body else b"")
                + (connection.state.send(h11.EndOfMessage()) or b"")
            )
            while True:
                event = await self.next_event(connection, self._answer_seconds)
                if isinstance(event, h11.Response):
                    return Response(self, connection, event, wait)
                if not isinstance(event, h11.InformationalResponse):
                    raise self.broken("the connection was closed before the answer")
        except BaseException:
            self.drop(connection)
            raise

    async def close(self) -> None:
        connections = [*self._idle, *self._busy]
        self._idle.clear()
        self._busy.clear()
        for connection in connections:
            connection.close()
        await asyncio.sleep(0)

    async def next_event(self, connection: _Connection, seconds: float) -> object:
        """The next protocol event, reading as needed; translates every way a connection can end."""
        try:
            while (event := connection.state.next_event()) is h11.NEED_DATA:
                async with asyncio.timeout(seconds):
                    connection.state.receive_data(await connection.reader.read(READ_BYTES))
            return event
        except TimeoutError:
            raise self.broken(f"no answer within {seconds:g} s") from None
        except h11.RemoteProtocolError as error:
            raise self.broken(str(error)) from None
        except (OSError, ssl.SSLError) as error:
            raise self.broken(str(error)) from None

    def broken(self, cause: str) -> Unavailable:
        return Unavailable(
            f"cannot talk to the server at {self.url}: {cause}",
            element="server",
            hint="is it running? corral doctor",
            retryable=True,
        )

    def give_back(self, connection: _Connection) -> None:
        """The message is complete on both sides: keep the connection for the next request if the server allows it."""
        if connection not in self._busy:
            return
        self._busy.discard(connection)
        if connection.state.our_state is h11.DONE and connection.state.their_state is h11.DONE:
            connection.state.start_next_cycle()
            connection.used = True
            if len(self._idle) < IDLE_MAX:
                self._idle.append(connection)
                return
        connection.close()

    def drop(self, connection: _Connection) -> None:
        if connection in self._busy:
            self._busy.discard(connection)
            connection.close()

    async def _take(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.reader.at_eof():
                self._busy.add(connection)
                return connection
            connection.close()
        connection = await self._connect()
        self._busy.add(connection)
        return connection

    async def _connect(self) -> _Connection:
        address = self._address
        try:
            async with asyncio.timeout(self._connect_seconds):
                reader, writer = await asyncio.open_connection(
                    address.host, address.port, ssl=self._context() if address.secure else None, limit=READ_BYTES * 4
                )
        except ssl.SSLCertVerificationError as error:
            raise Unavailable(
                f"cannot trust the server at {self.url}: {error.verify_message}",
                element="ca",
                hint="name its CA certificate: CORRAL_CA=FILE, or 'ca' in local.json; corral doctor says more",
            ) from None
        except TimeoutError:
            raise self._absent(f"no answer within {self._connect_seconds:g} s") from None
        except ssl.SSLError as error:
            raise self._absent(f"no TLS there ({error.reason}); http:// perhaps?") from None
        except OSError as error:
            raise self._absent(_plain(error)) from None
        return _Connection(reader, writer)

    def _absent(self, cause: str) -> Unavailable:
        return Unavailable(f"cannot reach the server at {self.url}: {cause}", element="server", hint=START_HINT)

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            try:
                self._tls = ssl.create_default_context(cafile=self._ca)
            except OSError as error:
                raise Invalid(
                    f"cannot read the CA certificate {self._ca!r}: {error.strerror or error}", element="ca"
                ) from None
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        return self._tls


def _plain(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in str(error):
        return "connection refused"
    return (error.strerror or str(error)).lower()
