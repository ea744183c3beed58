"""The part of RFC 6455 that a client needs to read a stream of binary messages: handshake, frames, ping, close. One thread, blocking."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Final

from corral.agent.executors.contract import Failed
from corral.agent.executors.httpwire import Web
from corral.domain.netguard import parse_url
from corral.runtime.clock import Clock

_MAGIC: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_HEAD_BYTES_MAX: Final = 32 << 10
_MESSAGE_BYTES_MAX: Final = 16 << 20
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


class Refused(Failed):
    """The server answered with something else than 101. `status` and `body` are what it said."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"cannot open a stream: the server answered {status}")
        self.status = status
        self.body = body


class WebSocket:
    """Use as a context manager; iterate over the messages until the server closes. Raises Failed, Refused."""

    def __init__(self, web: Web, url: str, headers: Mapping[str, str], protocol: str) -> None:
        self._url = parse_url(url, "connection.host", names=())
        self._clock: Clock = web.clock
        self._deadline = web.clock.monotonic() + web.timeout_seconds
        self._sock: socket.socket = web.open(self._url, self._deadline)
        self._rest = b""
        try:
            self._handshake(headers, protocol)
        except BaseException:
            self._sock.close()
            raise

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def __iter__(self) -> Iterator[bytes]:
        """Whole messages, text or binary."""
        message = b""
        while True:
            final, code, data = self._frame()
            if code == _CLOSE:
                return
            if code == _PING:
                self._send(_PONG, data)
            elif code in (_TEXT, _BINARY, _CONTINUATION):
                message += data
                if len(message) > _MESSAGE_BYTES_MAX:
                    raise Failed(f"cannot take a message of more than {_MESSAGE_BYTES_MAX} bytes")
                if final:
                    yield message
                    message = b""
            elif code != _PONG:
                raise Failed(f"cannot read the stream: a frame of kind {code} has no meaning")

    def _handshake(self, headers: Mapping[str, str], protocol: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {self._url.target} HTTP/1.1",
            f"Host: {self._url.netloc}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Protocol: {protocol}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._write("\r\n".join((*lines, "", "")).encode())
        while b"\r\n\r\n" not in self._rest:
            if len(self._rest) > _HEAD_BYTES_MAX or not self._more():
                raise Failed("cannot open a stream: the server does not speak HTTP")
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        words = first.split(" ", 2)
        status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
        found = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        if status != 101:
            size = int(found.get("content-length") or 0)
            while len(self._rest) < min(size, _HEAD_BYTES_MAX) and self._more():
                pass
            raise Refused(status, self._rest)
        wanted = base64.b64encode(hashlib.sha1((key + _MAGIC).encode(), usedforsecurity=False).digest()).decode()
        if found.get("sec-websocket-accept") != wanted or found.get("sec-websocket-protocol", "") != protocol:
            raise Failed("cannot open a stream: the server agreed to something else than was asked for")

    def _frame(self) -> tuple[bool, int, bytes]:
        first, second = self._take(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", self._take(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self._take(8))
        if size > _MESSAGE_BYTES_MAX or second & 0x80 or first & 0x70:
            raise Failed("cannot read the stream: a frame that no server may send")
        return bool(first & 0x80), first & 0x0F, self._take(size)

    def _send(self, code: int, data: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data[:125]))
        self._write(bytes((0x80 | code, 0x80 | len(masked))) + mask + masked)

    def _take(self, size: int) -> bytes:
        while len(self._rest) < size:
            if not self._more():
                raise Failed("cannot read the stream: it broke off")
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def _more(self) -> bool:
        self._arm()
        try:
            data = self._sock.recv(64 << 10)
        except TimeoutError:
            raise self._late() from None
        except OSError as error:
            raise Failed(f"cannot read the stream: {error.strerror or error}") from None
        self._rest += data
        return bool(data)

    def _write(self, data: bytes) -> None:
        self._arm()
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise Failed(f"cannot write to the stream: {error.strerror or error}") from None

    def _arm(self) -> None:
        left = self._deadline - self._clock.monotonic()
        if left <= 0:
            raise self._late()
        self._sock.settimeout(left)

    def _late(self) -> Failed:
        return Failed("cannot read the stream to its end: the time is up", hint="give the task more time")
