"""Output bytes → lines, per stream of a task. Ordering and duplicates were dealt with before (domain/output.py)."""

from __future__ import annotations

from typing import Final

LINE_BYTES_MAX: Final = 64 << 10


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
