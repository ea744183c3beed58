"""The node's own link to the engine: core NATS only, standard library only. Adapters: link.client (real), testing.link (memory)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from corral.domain.errors import Unavailable


class LinkDown(Unavailable):
    """The link is not connected, or the connection broke before the answer came; everything sent must be sent again."""


class NoAnswer(LinkDown):
    """A request nobody answered in time (or that has no responder)."""


@dataclass(frozen=True, slots=True)
class LinkMessage:
    subject: str
    data: bytes
    reply: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[LinkMessage], Awaitable[None] | None]
"""Called in order per subscription; an exception is logged with the subject and never ends the link."""


class Link(Protocol):
    """One connection that reconnects by itself. Subscriptions survive a reconnect; messages in flight do not."""

    @property
    def connected(self) -> bool: ...

    def on_connect(self, hook: Callable[[], Awaitable[None]]) -> None:
        """Run after every (re)connect, once all subscriptions are with the engine (subscribe → flush → hook)."""
        ...

    def subscribe(self, subject: str, handler: Handler) -> None: ...

    def resubscribe(self) -> None:
        """Say every subscription anew, for an engine that has lost one; what arrives just then may be missed. No link: no effect."""
        ...

    async def publish(
        self, subject: str, data: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """Buffered. Raises LinkDown when not connected: what must not be lost lives in a spool, not here."""
        ...

    async def request(
        self, subject: str, data: bytes, *, timeout_seconds: float = 5.0, headers: Mapping[str, str] | None = None
    ) -> LinkMessage:
        """Raises NoAnswer or LinkDown."""
        ...

    async def request_many(self, subject: str, data: bytes, *, timeout_seconds: float = 10.0) -> list[LinkMessage]:
        """All replies up to the one that carries a Status header (batched DIRECT.GET). Raises NoAnswer or LinkDown."""
        ...

    async def flush(self) -> None: ...

    async def run(self, ready: Callable[[], None]) -> None:
        """Component: connect, stay connected, until cancelled. `ready` is called at once; `connected` tells the rest."""
        ...
