"""What the server needs of the engine, in the server's words. Adapters: bus.jetstream (nats-server), bus.memory (tests).

Three small ports instead of one large one: Wire (core messages), Streams (what arrived), Accounts (who may connect).
Adapters translate every exception of their library into BusError and its two kinds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from corral.domain.errors import Unavailable


class BusError(Unavailable):
    """The engine did not do what was asked; `retryable` says whether asking again may help."""


class NoResponder(BusError):
    """Nobody listens on the subject of a request: the node's link is down."""


class NotFoundOnBus(BusError):
    """A stream, consumer or object that is not there; the adapter has already asked for the topology to be ensured again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BusMessage:
    """One message of a stream. `sequence` is the stream's; `ack` is opaque, given back to Batches.ack.

    `at` is when it was stored, in seconds since the epoch.
    """

    subject: str
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    sequence: int = 0
    ack: str = ""
    at: float = 0.0


class Batches(Protocol):
    """A shared durable consumer: every message goes to one of its readers and comes again until acknowledged."""

    async def next(self, *, limit: int, wait_seconds: float) -> Sequence[BusMessage]:
        """Up to `limit` messages; waits at most `wait_seconds` for the first one. Empty when none came."""
        ...

    async def ack(self, messages: Sequence[BusMessage]) -> None: ...


class Wire(Protocol):
    """Core messages: pushed to whoever listens now, never stored."""

    async def publish(self, subject: str, data: bytes) -> None:
        """Buffered; ordered per connection. Raises BusError when the engine is away for longer than the buffer lasts."""
        ...

    async def flush(self) -> None:
        """Returns when the engine has processed everything published before."""
        ...

    async def request(self, subject: str, data: bytes, *, timeout_seconds: float) -> bytes:
        """Raises NoResponder at once when nobody listens, BusError after the timeout."""
        ...


class Streams(Protocol):
    """What nodes sent up."""

    async def ensure_topology(self) -> None:
        """Create or update every stream and bucket of protocol.topology; safe to call any time, by several servers."""
        ...

    def batches(self, stream: str, durable: str) -> Batches: ...

    async def latest(self, stream: str, after_sequence: int) -> Sequence[BusMessage]:
        """All messages of a last-value stream (beats) newer than `after_sequence`, at once, without waiting.

        Continue from the sequence of the last one returned, even when it is smaller: after an engine start the stream counts from
        1 again, and then everything in it is returned.
        """
        ...

    async def read(
        self, stream: str, subject: str, *, from_sequence: int = 1, limit: int = 1000
    ) -> Sequence[BusMessage]:
        """Stored messages whose subject matches the filter, in order, from a sequence on. Empty at the end."""
        ...

    def follow(self, stream: str, subject: str, *, from_sequence: int) -> AsyncIterator[BusMessage]:
        """Stored and then live messages from a sequence on, in order and without gap, until closed."""
        ...

    async def last_sequence(self, stream: str) -> int: ...

    async def purge(self, stream: str, subject: str) -> None: ...

    async def usage(self) -> Mapping[str, Mapping[str, int]]:
        """Stream → {messages, bytes, max_bytes, first_sequence, last_sequence}, for doctor and metrics."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkEvent:
    """The engine saw a node's link come or go. `key` is the user nkey; `name` the node id in its credential.

    `link` names this one connection, `host` is where it came from.
    """

    key: str
    name: str
    connected: bool
    reason: str = ""
    link: str = ""
    host: str = ""


class Accounts(Protocol):
    """Who may connect, and who just did."""

    async def push_claims(self, account_jwt: str) -> None:
        """Make the engine use these claims now (revocations included): it disconnects whom they revoke."""
        ...

    async def events(self, handler: Callable[[LinkEvent], None]) -> None:
        """Call `handler` for each connect and disconnect of a node's link from now on."""
        ...

    async def connected_keys(self) -> frozenset[str]:
        """The user nkeys of all links of nodes connected right now (after a server start)."""
        ...

    async def received(self) -> int:
        """How many messages the engine has taken in since it started, from everybody. Cheap."""
        ...

    async def sent_by_key(self) -> Mapping[str, int]:
        """User nkey → messages taken in on its links since they began. As dear as `connected_keys`."""
        ...


class Objects(Protocol):
    """Sealed blobs by opaque name, in the artifacts or archive bucket."""

    async def put(self, bucket: str, name: str, chunks: AsyncIterator[bytes]) -> str:
        """Store under `name`, replacing what was there; returns the nuid by which nodes read the chunks. Raises OutOfSpace."""
        ...

    def get(self, bucket: str, name: str) -> AsyncIterator[bytes]: ...

    async def delete(self, bucket: str, name: str) -> None: ...

    async def exists(self, bucket: str, name: str) -> bool: ...

    async def names(self, bucket: str) -> Sequence[tuple[str, int]]:
        """(name, size in bytes) of every blob in the bucket, for backups."""
        ...

    async def sweep(self, bucket: str, *, before: datetime) -> int:
        """Drop chunks that no blob names and to which none was added since: what a `put` that was killed left. How many puts."""
        ...

    async def nuid(self, bucket: str, name: str) -> str | None:
        """What `put` returned for the blob that is there now; None when there is none."""
        ...
