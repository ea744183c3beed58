"""The status line at the bottom of a terminal while a job runs; nothing at all elsewhere.

One line, redrawn at most ten times a second and wiped before any output is written, so that output and scrollback stay clean.
Drawn by hand rather than by rich: its import alone costs 100 ms, more than most commands of a fleet take.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, TextIO

from corral.cli.output.table import width
from corral.cli.output.units import show_duration
from corral.runtime.clock import Clock

BAR: Final = 20
REDRAW_SECONDS: Final = 0.1
_OPEN: Final = ("running", "delivered", "queued")


def status_line(counts: Mapping[str, int], seconds: float, *, columns: int) -> str:
    """`[#########...........] 45/100  43 succeeded  2 failed  30 running  25 queued  12 s`, cut to the terminal."""
    total = sum(counts.values())
    done = total - sum(counts.get(state, 0) for state in _OPEN)
    filled = BAR * done // total if total else 0
    words = [f"[{'#' * filled}{'.' * (BAR - filled)}] {done}/{total}"]
    order = [state for state in counts if state not in _OPEN] + [state for state in _OPEN if state in counts]
    words += [f"{counts[state]} {state.replace('_', ' ')}" for state in order if counts[state]]
    words.append(show_duration(int(seconds)) if seconds >= 1 else "0 s")
    line = "  ".join(words)
    while width(line) > columns - 1 and len(words) > 2:
        del words[-2]
        line = "  ".join(words)
    return line[: columns - 1]


class StatusLine:
    """Owns the last line of the terminal `stream`. Disabled, it does nothing."""

    def __init__(self, stream: TextIO, clock: Clock, *, enabled: bool) -> None:
        self._stream = stream
        self._clock = clock
        self._enabled = enabled
        self._shown = False
        self._started = clock.monotonic()
        self._drawn = 0.0

    def draw(self, counts: Mapping[str, int], *, force: bool = False) -> None:
        now = self._clock.monotonic()
        if not self._enabled or not counts or (not force and now - self._drawn < REDRAW_SECONDS):
            return
        self._drawn = now
        self._shown = True
        text = status_line(counts, now - self._started, columns=_columns(self._stream))
        self._stream.write(f"\r{text}\x1b[K")
        self._stream.flush()

    def wipe(self) -> None:
        """Make room for output."""
        if self._shown:
            self._shown = False
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
