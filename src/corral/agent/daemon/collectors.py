"""Figures of others beside our own: a child process asks the plugins' collectors now and then, and the next sample holds what it found.

The child is of the Python that has the plugins (agent.executors_python); nothing of theirs is loaded into the daemon. What it wrote
is good for two rounds: figures of a collector that has gone silent do not stay for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import corral
from corral.runtime.backoff import spread
from corral.runtime.clock import Clock
from corral.runtime.process import ExitWatch, base_environment, find_program, spawn

log = logging.getLogger("corral.daemon.collectors")

PATIENCE_SECONDS: Final = 20.0
BYTES_MAX: Final = 256 << 10
_MODULE: Final = "corral.agent.executors.collect"


class Collectors:
    """Component. `values` are the newest."""

    name = "collectors"

    def __init__(self, *, path: Path, python: str, clock: Clock, every_seconds: float) -> None:
        self._path = path
        self._python = python or sys.executable
        self._clock = clock
        self._every_seconds = every_seconds
        self._found: Mapping[str, float] = {}
        self._good_until = float("-inf")

    def values(self) -> Mapping[str, float]:
        return self._found if self._clock.monotonic() < self._good_until else {}

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        while True:
            await self.collect()
            await self._clock.sleep(spread(self._every_seconds, 0.1))

    async def collect(self) -> None:
        """One round. What goes wrong is said, and the sample goes without."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        try:
            await self._run()
            data = self._path.read_bytes()[: BYTES_MAX + 1]
            found = json.loads(data) if len(data) <= BYTES_MAX else {}
        except (OSError, ValueError) as error:
            log.warning("Cannot collect: %s", error, extra={"action": "collect"})
            return
        self._found = {str(name): value for name, value in found.items() if isinstance(value, (int, float))}
        self._good_until = self._clock.monotonic() + 2 * self._every_seconds

    async def _run(self) -> None:
        environment = {
            **base_environment(),
            "PYTHONPATH": str(Path(corral.__file__).parents[1]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "CORRAL_RESULT": str(self._path),
        }
        python = find_program(self._python, environment["PATH"], "/") or self._python
        ended = asyncio.Event()
        pid = spawn((python, "-P", "-m", _MODULE), environment)
        watch = ExitWatch(pid, lambda status: ended.set())
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await ended.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                # it leads a session of its own, so its children go with it
                os.killpg(pid, signal.SIGKILL)
            await ended.wait()
        finally:
            if not ended.is_set():
                watch.close()
