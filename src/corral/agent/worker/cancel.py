"""Stopping a whole process tree, with a receipt: TERM, grace, KILL, and a list of what was signalled and what survived.

The wrapper is spared as long as anything else lives: it is the witness that writes the exit status. It goes last, when it does
not end by itself once its command is gone.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any, Final

from corral.runtime.clock import Clock
from corral.runtime.process import start_time
from corral.runtime.proctree import TreeProcess, find_tree, signal_all

_LISTED_MAX: Final = 50
_LOOK_SECONDS: Final = (0.01, 0.02, 0.05, 0.1)
_KILL_SECONDS: Final = 5.0
_WITNESS_SECONDS: Final = 1.0


async def stop_tree(mark: str, wrapper: int, *, grace_seconds: float, clock: Clock) -> dict[str, Any]:
    """Stop everything that carries `mark`. `wrapper` is the pid of its wrapper, or 0.

    The receipt: `signalled` [{pid, command, signals}], `signalled_count`, `survivors` [{pid, command}], `killed` (how many
    needed KILL), `seconds`.
    """
    # its pid cannot have been given to somebody else: the caller has not seen it end
    start = start_time(wrapper) if wrapper else None
    roots = {wrapper: start} if start is not None else {}
    started = clock.monotonic()
    asked: dict[tuple[int, int], dict[str, Any]] = {}

    def living() -> list[TreeProcess]:
        return [process for process in find_tree(mark, roots=roots) if process.pid != wrapper]

    def send(processes: list[TreeProcess], number: signal.Signals) -> None:
        for process in signal_all(processes, number):
            entry = asked.setdefault(
                (process.pid, process.start), {"pid": process.pid, "command": process.command, "signals": []}
            )
            if number.name not in entry["signals"]:
                entry["signals"].append(number.name)

    left = living()
    looks = 0
    # what starts after the first TERM gets one too: a tree is not stopped by stopping what it was a moment ago
    termed: set[tuple[int, int]] = set()
    while left and (looks == 0 or clock.monotonic() - started < grace_seconds):
        new = [process for process in left if (process.pid, process.start) not in termed]
        send(new, signal.SIGTERM)
        # a stopped process acts on nothing but KILL until it is continued
        signal_all(new, signal.SIGCONT)
        termed.update((process.pid, process.start) for process in new)
        remaining = grace_seconds - (clock.monotonic() - started)
        await clock.sleep(max(0.0, min(_LOOK_SECONDS[min(looks, len(_LOOK_SECONDS) - 1)], remaining)))
        looks += 1
        left = living()
    killing = clock.monotonic()
    looks = quiet = 0
    # twice nothing: a process in the middle of an exec shows no environment for a moment
    while quiet < 2 and clock.monotonic() - killing < _KILL_SECONDS:
        send(left, signal.SIGKILL)
        await clock.sleep(_LOOK_SECONDS[min(looks, len(_LOOK_SECONDS) - 1)])
        looks += 1
        left = living()
        quiet = 0 if left else quiet + 1
    if roots and not left:
        left = await _end_wrapper(mark, roots, clock)
    entries = list(asked.values())
    return {
        "signalled": entries[:_LISTED_MAX],
        "signalled_count": len(entries),
        "killed": sum("SIGKILL" in entry["signals"] for entry in entries),
        "survivors": [{"pid": process.pid, "command": process.command} for process in left[:_LISTED_MAX]],
        "seconds": round(clock.monotonic() - started, 3),
    }


async def _end_wrapper(mark: str, roots: Mapping[int, int], clock: Clock) -> list[TreeProcess]:
    """Its command is gone, so it writes the status and ends; one that does not is killed. Returns what is left after that."""
    deadline = clock.monotonic() + _WITNESS_SECONDS
    looks = 0
    while True:
        left = [process for process in find_tree(mark, roots=roots) if process.pid in roots]
        if not left or clock.monotonic() > deadline + _WITNESS_SECONDS:
            return left
        if clock.monotonic() > deadline:
            signal_all(left, signal.SIGKILL)
        await clock.sleep(_LOOK_SECONDS[min(looks, len(_LOOK_SECONDS) - 1)])
        looks += 1
