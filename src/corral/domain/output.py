"""Task output as byte ranges: put in order, freed of duplicates, holes named; and identical results grouped for people.

Nodes send output at least once, in windows, addressed by offset. So ranges come twice, overlap and overtake each other; a
reader sorts them here and nowhere else. A hole is never silent: either the node said it left bytes out (`dropped`: beyond the
cap), or bytes are missing, and both become a Gap.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

PREVIEW_BYTES: Final = 64 << 10
"""How much of one stream `exec get` shows; the exact bytes are in the log."""
HOLD_BYTES: Final = 8 << 20
"""How much an Assembler holds back while it waits for an earlier range; more than a node ever has in flight."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes [start, end) that are not there: left out by the node on purpose (`dropped`), or missing."""

    start: int
    end: int
    dropped: bool

    def __str__(self) -> str:
        return f"[{self.end - self.start} bytes {'left out: beyond the output cap' if self.dropped else 'missing'}]"


class Assembler:
    """Orders the ranges of one stream of one attempt.

    `feed` returns what may be shown now: bytes in order, without duplicates, and dropped gaps. A missing range is waited for
    until `hold_bytes` came after it, or until `finish`.
    """

    def __init__(self, *, hold_bytes: int = HOLD_BYTES) -> None:
        self.position = 0
        self._hold_bytes = hold_bytes
        self._held: list[tuple[int, int, int, bytes]] = []
        self._held_bytes = 0
        self._order = itertools.count()

    def feed(self, offset: int, data: bytes, skipped: int = 0) -> list[bytes | Gap]:
        """Take a range whose first byte is at `offset`, with `skipped` bytes dropped just before it."""
        if offset + len(data) <= self.position:
            return []
        heapq.heappush(self._held, (max(0, offset - skipped), offset, next(self._order), data))
        self._held_bytes += len(data)
        out = self._drain(force=False)
        while self._held_bytes > self._hold_bytes:
            out += self._drain(force=True)
        return out

    def finish(self) -> list[bytes | Gap]:
        """Everything still held back, with the missing ranges named."""
        out: list[bytes | Gap] = []
        while self._held:
            out += self._drain(force=True)
        return out

    def _drain(self, *, force: bool) -> list[bytes | Gap]:
        out: list[bytes | Gap] = []
        while self._held:
            start, offset, _, data = self._held[0]
            if start > self.position:
                if not force:
                    break
                out.append(Gap(self.position, start, dropped=False))
                self.position = start
                force = False
            heapq.heappop(self._held)
            self._held_bytes -= len(data)
            if offset > self.position:
                out.append(Gap(self.position, offset, dropped=True))
                self.position = offset
            fresh = data[self.position - offset :]
            if fresh:
                out.append(fresh)
                self.position += len(fresh)
        return out


@dataclass(frozen=True, slots=True)
class Range:
    """A piece of one stream as it was stored."""

    offset: int
    data: bytes
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Assembled:
    """One stream put together: its bytes from the start (at most the asked cap), and what is not there."""

    data: bytes
    gaps: Sequence[Gap]
    cut: bool


def assemble(ranges: Iterable[Range], *, cap: int | None = None) -> Assembled:
    """Put `ranges` (any order, duplicates allowed) together; `cap` bounds the bytes returned and sets `cut`."""
    assembler = Assembler()
    parts: list[bytes] = []
    gaps: list[Gap] = []
    size, cut = 0, False
    pieces = itertools.chain(
        itertools.chain.from_iterable(assembler.feed(r.offset, r.data, r.skipped) for r in ranges),
        _finish(assembler),
    )
    for piece in pieces:
        if isinstance(piece, Gap):
            gaps.append(piece)
            continue
        if cap is not None and size + len(piece) > cap:
            piece, cut = piece[: cap - size], True
        parts.append(piece)
        size += len(piece)
        if cut:
            break
    return Assembled(b"".join(parts), tuple(gaps), cut)


def _finish(assembler: Assembler) -> Iterable[bytes | Gap]:
    # A generator on purpose: finish() may only run after every range was fed.
    yield from assembler.finish()


def as_text(data: bytes, *, cut: bool = False) -> str:
    """UTF-8 with invalid bytes replaced; when `cut`, a character split by the cut is left out instead of shown as broken."""
    if cut:
        for back in range(1, min(4, len(data)) + 1):
            lead = data[-back]
            if lead & 0xC0 == 0x80:
                continue
            need = 4 if lead >= 0xF0 else 3 if lead >= 0xE0 else 2 if lead >= 0xC0 else 1
            if need > back:
                data = data[:-back]
            break
    return data.decode("utf-8", "replace")


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """How one node's task ended, as people compare it."""

    node: str
    state: str
    reason: str = ""
    exit_code: int | None = None
    signal: int | None = None
    stdout: str = ""
    stderr: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultGroup:
    """Nodes whose results are the same in everything but the node; `sample` stands for all of them."""

    nodes: tuple[str, ...]
    sample: Result


def group_results(results: Iterable[Result]) -> list[ResultGroup]:
    """Largest group first, then by the first node's id; nodes sorted. Identical means every field but the node."""
    groups: dict[tuple[object, ...], list[Result]] = {}
    for result in results:
        key = (result.state, result.reason, result.exit_code, result.signal, result.stdout, result.stderr)
        groups.setdefault(key, []).append(result)
    out = [
        ResultGroup(nodes=tuple(sorted(r.node for r in members)), sample=min(members, key=lambda r: r.node))
        for members in groups.values()
    ]
    return sorted(out, key=lambda g: (-len(g.nodes), g.nodes))
