"""A node's connection without our node code, on nats-py: for contract tests, and to try what a hostile node would try."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from corral.bus.claims import KeyPair
from corral.testing.engine import NodeCredential

CONNECT_SECONDS: Final = 5
CLOSE_SECONDS: Final = 1
"""The library waits for ever for the end of a connection whose TLS handshake failed."""


class RawNode:
    """One connection that never reconnects; `violations` are the permissions errors the engine sent it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.violations: list[str] = []
        self.heard: list[tuple[str, bytes]] = []

    @classmethod
    async def connect(cls, url: str, credential: NodeCredential, *, tls: ssl.SSLContext | None = None) -> RawNode:
        """Raises nats.errors.Error when the engine refuses."""
        key = KeyPair.from_seed(credential.seed, "U")
        node = cls(Client())

        async def on_error(error: Exception) -> None:
            if "violation" in str(error).lower():
                node.violations.append(str(error))

        try:
            await node.client.connect(
                url,
                user_jwt_cb=lambda: bytearray(credential.jwt.encode()),
                signature_cb=lambda nonce: base64.b64encode(key.sign(nonce.encode())),
                inbox_prefix=credential.inbox,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                error_cb=on_error,
                connect_timeout=CONNECT_SECONDS,
                tls=tls,
            )
        except BaseException:
            await node.close()
            raise
        return node

    async def close(self) -> None:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self.client.close(), CLOSE_SECONDS)

    @property
    def connected(self) -> bool:
        return self.client.is_connected

    async def publish(
        self, subject: str, data: bytes = b"", *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        await self.client.publish(subject, data, reply=reply, headers=dict(headers) if headers else None)

    async def flush(self) -> None:
        """Everything sent before has been processed: the library's own flush lets its ping overtake its buffer."""
        await self.client._flush_pending(force_flush=True)
        await self.client.flush()

    async def request(
        self, subject: str, data: bytes = b"", *, headers: Mapping[str, str] | None = None, timeout_seconds: float = 2.0
    ) -> Msg:
        return await self.client.request(
            subject, data, timeout=timeout_seconds, headers=dict(headers) if headers else None
        )

    async def send(self, subject: str, data: bytes, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Publish to a stream; the engine's acknowledgement."""
        return dict(json.loads((await self.request(subject, data, headers=headers)).data))

    async def hear(self, subject: str, queue: str = "") -> None:
        """Collect what arrives on a subject in `heard`."""

        async def receive(message: Msg) -> None:
            self.heard.append((message.subject, message.data))

        await self.client.subscribe(subject, queue=queue, cb=receive)
        await self.flush()

    async def answer(self, subject: str, handler: Callable[[Msg], Awaitable[bytes]]) -> None:
        async def receive(message: Msg) -> None:
            await message.respond(await handler(message))

        await self.client.subscribe(subject, cb=receive)
        await self.flush()

    async def is_denied(self, attempt: Awaitable[object]) -> bool:
        """Whether the engine answers this attempt with a permissions violation. Errors come before the pong of a flush."""
        before = len(self.violations)
        with contextlib.suppress(errors.Error, asyncio.TimeoutError):
            await attempt
        with contextlib.suppress(errors.Error, asyncio.TimeoutError):
            await self.flush()
        return len(self.violations) > before
