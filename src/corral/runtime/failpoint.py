"""Named points at which a test makes this process die or stand still. Nothing happens unless CORRAL_FAILPOINT says so.

    CORRAL_FAILPOINT=<name>:<action>[@<n>][,…]     the action is taken the n-th time the point is reached (default: the first)

Actions: `kill` (SIGKILL to ourselves, like a machine that loses power at that line) and `hold=<file>` (at points that wait: stand
still while the file exists). The points, each between two steps whose order is a promise:

    server   after_commit    a job is in SQL, nothing is pushed yet            after_publish  pushed, the caller has no answer yet
             mid_ingest      inside the transaction that stores reports        after_ingest   stored, not yet acknowledged
             after_ack       acknowledged to the engine, no receipt sent yet   before_ingest  a batch is in hand (can hold)
             stage_submitted a stage's job is in SQL, its rollout knows nothing of it    stage_recorded  the rollout moved on
    worker   after_received  the task is journalled, nothing started           after_starting the start is durable, no process yet
             after_spawn     the process exists                                before_done    it ended, its end is not journalled
             after_done      its end is durable, nothing is said yet
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from typing import Final

_LOOK_SECONDS: Final = 0.02


class _Point:
    __slots__ = ("action", "left")

    def __init__(self, action: str, nth: int) -> None:
        self.action = action
        self.left = nth


def parse(text: str) -> dict[str, _Point]:
    """Raises ValueError for what is not `name:action[@n]`."""
    points = {}
    for item in filter(None, text.split(",")):
        name, _, what = item.partition(":")
        action, _, nth = what.rpartition("@") if "@" in what else (what, "", "1")
        if not name or not (action == "kill" or action.startswith("hold=")):
            raise ValueError(f"cannot use failpoint {item!r}: expected name:kill[@n] or name:hold=file[@n]")
        points[name] = _Point(action, int(nth))
    return points


_points: dict[str, _Point] = parse(os.environ.get("CORRAL_FAILPOINT", ""))


def arm(environment: Mapping[str, str]) -> None:
    """Read the points again from `environment`; for tests, which cannot start a process for each."""
    _points.clear()
    _points.update(parse(environment.get("CORRAL_FAILPOINT", "")))


def hit(name: str) -> None:
    """The line `name` was reached."""
    if _points and (point := _points.get(name)) is not None and point.action == "kill":
        point.left -= 1
        if point.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


async def gate(name: str) -> None:
    """The line `name` was reached, and waiting there is possible."""
    hit(name)
    if _points and (point := _points.get(name)) is not None and point.action.startswith("hold="):
        path = point.action.partition("=")[2]
        while os.path.exists(path):  # noqa: ASYNC110  # the event is a file: another process holds us
            await asyncio.sleep(_LOOK_SECONDS)
