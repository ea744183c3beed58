"""A TCP proxy on loopback that makes a network bad on purpose: late, jittery, slow, silent in one direction or both, cut, refused.

Bytes are never dropped or reordered, since TCP would not let either happen: what a real network loses shows to an application as
silence, and silence is `held`. Each direction has its own `Shape`, read anew for every chunk, so a test changes it while traffic
flows. `reset` cuts every connection with an RST; a held direction that is let go delivers what waited.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Self

from corral.runtime.clock import Clock, SystemClock
from corral.runtime.lifecycle import TaskSet

CHUNK_BYTES: Final = 16 << 10
WAITING_BYTES_MAX: Final = 4 << 20
"""On the way in one direction: what a long, fat pipe holds. More makes the sender wait."""
_LOOK_SECONDS: Final = 0.01


@dataclass(slots=True)
class Shape:
    """One direction. `held`: nothing passes, the connection stays. `bytes_per_second` 0 = no limit."""

    delay_seconds: float = 0.0
    jitter_seconds: float = 0.0
    bytes_per_second: float = 0.0
    held: bool = False


class Pipe:
    """One direction of one connection. `change` may rewrite what passes; it sees each read."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        shape: Shape,
        rng: random.Random,
        clock: Clock,
        change: Callable[[bytes], bytes],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._shape = shape
        self._rng = rng
        self._clock = clock
        self._change = change
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._waiting_bytes = 0
        self._news = asyncio.Event()
        self.held = False

    async def read(self) -> None:
        """Take what comes, note when it is due. In order: nothing overtakes on a TCP connection."""
        due = 0.0
        while True:
            while self._waiting_bytes > WAITING_BYTES_MAX:
                await self._clock.sleep(_LOOK_SECONDS)
            data = await self._reader.read(CHUNK_BYTES)
            changed = self._change(data) if data else b""
            late = self._shape.delay_seconds + self._rng.uniform(-1, 1) * self._shape.jitter_seconds
            due = max(due, self._clock.monotonic() + max(0.0, late))
            if changed or not data:
                self.put(changed, due)
            if not data:
                return

    def put(self, data: bytes, due: float = 0.0) -> None:
        """Send `data` after what waits; empty = the end."""
        self._waiting.append((due, data))
        self._waiting_bytes += len(data)
        self._news.set()

    async def write(self) -> None:
        while True:
            while not self._waiting:
                self._news.clear()
                await self._news.wait()
            due, data = self._waiting[0]
            while self.held or self._shape.held or self._clock.monotonic() < due:
                # looked at often instead of slept through: a test may let go at any moment
                await self._clock.sleep(_LOOK_SECONDS)
            self._waiting.popleft()
            self._waiting_bytes -= len(data)
            if not data:
                if self._writer.can_write_eof():
                    self._writer.write_eof()
                return
            rate = self._shape.bytes_per_second
            for start in range(0, len(data), 1024 if rate else CHUNK_BYTES):
                part = data[start : start + (1024 if rate else CHUNK_BYTES)]
                if rate:
                    await self._clock.sleep(len(part) / rate)
                self._writer.write(part)
                await self._writer.drain()


class Conversation:
    """Both directions of one client."""

    def __init__(self, up: Pipe, down: Pipe, writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        self.up = up
        self.down = down
        self._writers = writers

    def hold(self, *, up: bool = True, down: bool = True) -> None:
        """Silence on this connection alone; both False lets go."""
        self.up.held, self.down.held = up, down

    def reset(self) -> None:
        """RST to both sides."""
        for writer in self._writers:
            sock = writer.get_extra_info("socket")
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class FaultProxy:
    """`async with FaultProxy("127.0.0.1", 4222) as proxy:` then connect to proxy.port. `up` is client → target.

    `refusing`: new connections are cut at once. `connections` counts those that ever came.
    """

    def __init__(self, host: str, port: int, *, seed: int = 0, clock: Clock | None = None) -> None:
        self._target = (host, port)
        self._rng = random.Random(seed)  # noqa: S311  # jitter, repeatable
        self._clock = clock or SystemClock(0)
        self._tasks = TaskSet("proxy")
        self._server: asyncio.Server | None = None
        self._conversations: dict[int, Conversation] = {}
        self.up = Shape()
        self.down = Shape()
        self.refusing = False
        self.connections = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.reset()
        await self._tasks.close()

    @property
    def open(self) -> int:
        """Connections there are now."""
        return len(self._conversations)

    @property
    def conversations(self) -> tuple[Conversation, ...]:
        """Oldest first."""
        return tuple(self._conversations.values())

    def shape(self, *, up: Shape | None = None, down: Shape | None = None) -> None:
        """Replace the shape of one direction or both, for open connections too."""
        for mine, new in ((self.up, up), (self.down, down)):
            if new is not None:
                for name in Shape.__slots__:
                    setattr(mine, name, getattr(new, name))

    def heal(self) -> None:
        """A perfect network again; what was held arrives."""
        self.shape(up=Shape(), down=Shape())
        self.refusing = False
        for conversation in self.conversations:
            conversation.hold(up=False, down=False)

    def hold(self, *, up: bool = True, down: bool = True) -> None:
        """Half-open: connections stay and say nothing, in one direction or both."""
        self.up.held, self.down.held = up, down

    def reset(self) -> None:
        """Cut every connection."""
        for conversation in list(self._conversations.values()):
            conversation.reset()

    def change(self, up: bool, data: bytes, conversation_id: int) -> bytes:
        """What becomes of bytes on their way; subclasses rewrite."""
        return data

    def ended(self, conversation_id: int) -> None:
        """A conversation is over; subclasses forget it."""

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The callback's own task belongs to asyncio: ours does the work, so that closing ends it.
        task = self._tasks.start(self._serve(reader, writer), name="conversation")
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        if self.refusing:
            writer.transport.abort()
            return
        try:
            their_reader, their_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        up = self._pipe(reader, their_writer, up=True, number=number)
        down = self._pipe(their_reader, writer, up=False, number=number)
        conversation = Conversation(up, down, (writer, their_writer))
        self._conversations[number] = conversation
        own = TaskSet(f"conversation-{number}")
        ends = [own.start(_quietly(part), name="pipe") for part in (up.read(), up.write(), down.read(), down.write())]
        try:
            # Both directions done, or one broken: then neither side can go on.
            await asyncio.wait([ends[1], ends[3]], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([ends[1], ends[3]], timeout=1)
        finally:
            del self._conversations[number]
            self.ended(number)
            await own.close()
            for each in (writer, their_writer):
                each.transport.abort()

    def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool, number: int) -> Pipe:
        return Pipe(
            reader,
            writer,
            shape=self.up if up else self.down,
            rng=self._rng,
            clock=self._clock,
            change=lambda data: self.change(up, data, number),
        )


async def _quietly(part: Coroutine[Any, Any, None]) -> None:
    """A connection that breaks is what this proxy is for."""
    with contextlib.suppress(OSError):
        await part
