"""Server-Sent Events as a pure, incremental parser: bytes in, events out, wherever the network cuts them.

Follows the WHATWG rules that matter to us: lines end in LF, CRLF or CR; `data` lines join with LF; an event without data is
dropped but its id counts; an id with NUL is ignored; comments (`: keepalive`) only prove that the server lives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from corral.domain.errors import TooLarge

EVENT_BYTES_MAX: Final = 128 << 20
"""A snapshot of 10,000 tasks is some 6 MB; beyond this it is no event but an attack or a bug."""


@dataclass(frozen=True)
class ServerEvent:
    """One event. `id` is the last id seen on the stream, '' when there was none yet."""

    event: str
    data: str
    id: str


class SseParser:
    """Feed it bytes; it returns the events they complete. `last_id` is what a reconnect sends as Last-Event-ID."""

    def __init__(self) -> None:
        self.last_id = ""
        self._tail = b""
        self._scanned = 0
        self._event = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Raises TooLarge when one event exceeds EVENT_BYTES_MAX."""
        events: list[ServerEvent] = []
        buffer = self._tail + chunk
        start = 0
        scan = self._scanned
        while True:
            end = _line_end(buffer, scan)
            if end < 0:
                break
            width = 1
            if buffer[end] == 13:
                if end + 1 == len(buffer):
                    break
                if buffer[end + 1] == 10:
                    width = 2
            self._line(buffer[start:end], events)
            start = scan = end + width
        self._tail = buffer[start:]
        self._scanned = len(self._tail) - 1 if self._tail.endswith(b"\r") else len(self._tail)
        if self._size + len(self._tail) > EVENT_BYTES_MAX:
            raise TooLarge(f"cannot read an event of more than {EVENT_BYTES_MAX} bytes")
        return events

    def _line(self, line: bytes, events: list[ServerEvent]) -> None:
        if not line:
            if self._data:
                text = b"\n".join(self._data).decode("utf-8", "replace")
                events.append(ServerEvent(self._event or "message", text, self.last_id))
            self._event, self._data, self._size = "", [], 0
            return
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._data.append(value)
            self._size += len(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self.last_id = value.decode("utf-8", "replace")


def _line_end(buffer: bytes, start: int) -> int:
    lf = buffer.find(b"\n", start)
    cr = buffer.find(b"\r", start, lf if lf >= 0 else len(buffer))
    return cr if cr >= 0 else lf
