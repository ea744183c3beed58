"""Nothing is left behind: whatever this launcher's parts started, however detached, is a descendant of it and is ended with it.

A process that double-forks leaves its parent; with PR_SET_CHILD_SUBREAPER the kernel hands such orphans to us instead of to
init, so the tree stays whole and can be walked at the end (Linux prctl(2)).
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from corral.runtime.clock import Clock

_PR_SET_CHILD_SUBREAPER: Final = 36


def become_subreaper() -> None:
    """Adopt orphans of our descendants from now on. Without the call (old kernel) they go to init and stop by themselves."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> list[int]:
    """Every live process below us, children first."""
    found: list[int] = []
    queue = [os.getpid()]
    while queue:
        for child in _children(queue.pop()):
            found.append(child)
            queue.append(child)
    return found


def _children(pid: int) -> list[int]:
    pids: list[int] = []
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            pids += [int(word) for word in (thread / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return pids


def reap(keep: Collection[int] = ()) -> None:
    """Collect ended children, except those in `keep`, for which somebody else waits."""
    for pid in _children(os.getpid()):
        if pid in keep:
            continue
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            continue


class Reaper:
    """Component: collects adopted orphans while we run. `waited_for` are the pids somebody else waits for."""

    name = "reaper"

    def __init__(self, *, waited_for: Callable[[], Collection[int]], clock: Clock) -> None:
        self._waited_for = waited_for
        self._clock = clock

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        while True:
            await self._clock.sleep(1.0)
            reap(self._waited_for())


async def end_all(clock: Clock, *, grace_seconds: float = 3.0) -> int:
    """TERM what is left, wait, KILL the rest. Returns how many had to be ended."""
    ended = 0
    for sig, patience in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 2.0)):
        reap()
        left = descendants()
        if not left:
            return ended
        ended = max(ended, len(left))
        for pid in left:
            try:
                os.kill(pid, sig)
            except ProcessLookupError:
                continue
        deadline = clock.monotonic() + patience
        while descendants() and clock.monotonic() < deadline:
            await clock.sleep(0.05)
            reap()
    return ended
