"""A task's output put together again from chunks that may repeat, overlap or overtake each other.

Chunks are addressed by byte offset within their stream, as the command wrote it; `skipped` says how many bytes the node's cap
dropped just before a chunk. Rules: every byte comes out once and in order; what is missing is held back for until its
chunk arrives, and only given up, as an explicit gap, when too much waits behind it or the stream ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

HELD_BYTES_MAX: Final = 4 << 20
LINE_BYTES_MAX: Final = 64 << 10


@dataclass(frozen=True)
class Piece:
    """Bytes in order. `missing` bytes before them were dropped by the cap, or never arrived."""

    offset: int
    data: bytes
    missing: int = 0


@dataclass
class StreamAssembler:
    """One stream of one attempt. `position` is the offset of the next byte to come out."""

    position: int | None = 0
    _held: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    _held_bytes: int = 0

    def feed(self, offset: int, data: bytes, skipped: int = 0) -> list[Piece]:
        """The pieces this chunk completes; none for a duplicate or while an earlier chunk is missing."""
        if self.position is None:  # joined in the middle: begin wherever the first chunk does
            self.position = offset - skipped
        known = self._held.get(offset)
        if offset + len(data) > self.position and (known is None or len(known[0]) < len(data)):
            self._held_bytes += len(data) - (len(known[0]) if known else 0)
            self._held[offset] = (data, skipped)
        return self._drain(force=self._held_bytes > HELD_BYTES_MAX)

    def flush(self) -> list[Piece]:
        """No more will come: everything held, with its gaps."""
        return self._drain(force=True)

    def _drain(self, *, force: bool) -> list[Piece]:
        pieces: list[Piece] = []
        if self.position is None:
            return pieces
        while self._held:
            offset = min(self._held)
            data, skipped = self._held[offset]
            if offset - skipped > self.position and not force:
                break
            del self._held[offset]
            self._held_bytes -= len(data)
            missing = max(0, offset - self.position)
            fresh = data[max(0, self.position - offset) :]
            if fresh:
                start = max(offset, self.position)
                pieces.append(Piece(start, fresh, missing))
                self.position = start + len(fresh)
        return pieces


class LineSplitter:
    """Bytes → whole lines without their newline. A line beyond LINE_BYTES_MAX comes out in parts."""

    def __init__(self) -> None:
        self._tail = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        if b"\n" not in data:
            self._tail += data
            return self._overlong()
        first, *rest = data.split(b"\n")
        lines = [bytes(self._tail) + first, *rest]
        self._tail = bytearray(lines.pop())
        return [part for line in lines for part in _cut(line)] + self._overlong()

    def flush(self) -> list[bytes]:
        """The last line when it has no newline."""
        tail, self._tail = bytes(self._tail), bytearray()
        return [tail] if tail else []

    def _overlong(self) -> list[bytes]:
        parts: list[bytes] = []
        while len(self._tail) > LINE_BYTES_MAX:
            parts.append(bytes(self._tail[:LINE_BYTES_MAX]))
            del self._tail[:LINE_BYTES_MAX]
        return parts


def _cut(line: bytes) -> list[bytes]:
    if len(line) <= LINE_BYTES_MAX:
        return [line]
    return [line[at : at + LINE_BYTES_MAX] for at in range(0, len(line), LINE_BYTES_MAX)]
