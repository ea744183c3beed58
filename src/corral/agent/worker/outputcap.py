"""Which bytes of a task's output are kept: the first and the last half of its cap, over both streams together. Pure.

Heads grow as output is seen, first come first served, until together they are half the cap. The other half is a window over the
ends: a stream gets what the other does not need, never less than a quarter of the cap. A stream's window only ever shrinks, so
what was once given up is never asked for again.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Share:
    """One stream: bytes written so far, and how many of its first bytes are kept."""

    size: int = 0
    head: int = 0


def grow_heads(limit: int, streams: tuple[Share, Share]) -> None:
    """Give new bytes to the heads while there is room in the first half."""
    room = limit // 2 - streams[0].head - streams[1].head
    for stream in streams:
        more = min(room, stream.size - stream.head)
        if more > 0:
            stream.head += more
            room -= more


def kept_from(limit: int, streams: tuple[Share, Share]) -> tuple[int, int]:
    """Per stream: where its kept end begins. Equal to its head when nothing of it is dropped."""
    window = limit - limit // 2
    left, right = streams
    return _start(window, left, right), _start(window, right, left)


def _start(window: int, mine: Share, other: Share) -> int:
    allowed = max(window // 2, window - (other.size - other.head))
    return max(mine.head, mine.size - allowed)
