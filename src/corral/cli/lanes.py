"""Following a rollout: lanes that are redrawn in place on a terminal, one plain line for each change elsewhere.

Ends when the rollout is over or paused: what happens next is somebody's decision, and the last line says how to make it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import aclosing
from typing import Any

from corral.cli import exits
from corral.cli.output.rollouts import advice, colour, done, headline, lanes, rollout_shape, verdict
from corral.cli.output.terminal import cell
from corral.cli.session import Session, is_terminal
from corral.sdk.rollouts import Rollout, Stage


class Lanes:
    """One rollout on one terminal (or pipe)."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._live = session.talks and is_terminal(sys.stdout)
        self._height = 0
        self._said: dict[tuple[str, int], str] = {}
        self._state = ""

    async def follow(self, fleet: Any, rollout: str) -> int:
        """The exit status: 0 when it succeeded, or waits for advance with nothing wrong; else 1, or DETACHED by Ctrl-C."""
        last: Rollout | None = None
        try:
            async with aclosing(fleet.rollouts.follow(rollout)) as changes:
                async for last in changes:
                    self._show(last)
                    if last.over or last.state == "paused":
                        break
        except asyncio.CancelledError:
            self._session.warn(f"detached: {rollout} goes on\n  follow:  corral rollout status --follow {rollout}")
            return exits.DETACHED
        if last is None:
            return exits.FAILED
        if self._session.machine or self._session.quiet:
            self._session.show(rollout_shape(last), names=[last.rollout], table=lambda wide: last.rollout)
        elif said := advice(last):
            self._session.note(said)
        return status(last)

    def _show(self, rollout: Rollout) -> None:
        if self._live:
            self._draw(rollout)
        elif self._session.talks:
            self._say(rollout)

    def _draw(self, rollout: Rollout) -> None:
        columns, rows = _size()
        lines = lanes(rollout, columns=columns)
        if len(lines) > rows - 2:
            lines = _window(rollout, lines, rows - 2)
        head = headline(rollout)
        head = head if len(head) < columns else head[: columns - 2] + "…"
        text = "\n".join([self._session.paint(head, colour(rollout), sys.stdout), *lines])
        up = f"\x1b[{self._height}A" if self._height else ""
        sys.stdout.write(f"{up}\r\x1b[J{text}\n")
        sys.stdout.flush()
        self._height = len(lines) + 1

    def _say(self, rollout: Rollout) -> None:
        for word, stages in (("stage", rollout.stages), ("rollback stage", rollout.rollback)):
            for stage in stages:
                text = _line(word, stage, len(stages) if word == "stage" else 0)
                if verdict(stage) != "waiting" and self._said.get((word, stage.index)) != text:
                    self._said[(word, stage.index)] = text
                    self._session.out(text)
        state = headline(rollout)
        if state != self._state:
            self._state = state
            self._session.out(state)
        sys.stdout.flush()


def status(rollout: Rollout) -> int:
    return exits.OK if rollout.succeeded or rollout.hold == "advance" else exits.FAILED


def _line(word: str, stage: Stage, of: int) -> str:
    number = f"{stage.index}/{of}" if of else str(stage.index)
    counts = ", ".join(f"{n} {state.replace('_', ' ')}" for state, n in sorted(stage.counts.items()) if n)
    why = f": {cell(stage.why)}" if stage.gate == "failed" and stage.why else ""
    return (
        f"{word} {number} ({cell(stage.name)}): {verdict(stage)}, {done(stage)}/{len(stage.nodes)} done, {counts}{why}"
    )


def _window(rollout: Rollout, lines: list[str], rows: int) -> list[str]:
    """More stages than the terminal has lines: those around the one that is out."""
    middle = len(lines) - 1 if rollout.rollback else rollout.stage
    start = max(0, min(len(lines) - rows, middle - rows // 2))
    return lines[start : start + rows]


def _size() -> tuple[int, int]:
    try:
        size = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        return 80, 24
    return size.columns or 80, size.lines or 24
