"""Keeps the worker alive (OSF-5, OSF-6): dead, silent for 30 s or beyond its memory → ended and started again by the restart table.

The worker is never our child. What decides is `domain.restart`; what acts are the `Workers` hands; this loop looks
every ten seconds, each second while something is under way, and at once when the kernel says that the worker ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from typing import Final

from corral.agent import pidfile
from corral.agent.daemon.worker_view import WorkerView
from corral.agent.daemon.workers import Workers
from corral.domain.restart import Restart, Restarts
from corral.runtime.clock import Clock

log = logging.getLogger("corral.keeper")

LOOK_SECONDS: Final = 10.0
BUSY_SECONDS: Final = 1.0
SILENT_SECONDS: Final = 30.0
FIRST_SECONDS: Final = 5.0
"""At our own start the worker may be starting as well; nobody died yet."""
APPEAR_SECONDS: Final = 20.0
"""A started worker that shows no pid file by then did not start."""
TERM_SECONDS: Final = 10.0


class Keeper:
    """Component. With `start` False it only ends a sick worker: somebody else (systemd) starts the next."""

    name = "keeper"

    def __init__(
        self, *, workers: Workers, view: WorkerView, clock: Clock, memory_max_bytes: int, start: bool = True
    ) -> None:
        self._workers = workers
        self._view = view
        self._clock = clock
        self._memory_max_bytes = memory_max_bytes
        self._start = start
        self._restarts = Restarts()
        self._due: Restart | None = None
        self._awaited_until: float | None = None
        self._process: pidfile.Process | None = None
        self._buried: pidfile.Process | None = None
        self._seen_at = 0.0
        self._ending: tuple[pidfile.Process, float] | None = None
        self._ended = asyncio.Event()
        self._launched = False
        self.restarted = 0
        self.alert = False

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        self._awaited_until = self._clock.monotonic() + FIRST_SECONDS
        self._buried = self._workers.named()
        while True:
            self.look()
            self._ended.clear()
            quiet = self._process is not None and self._ending is None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), LOOK_SECONDS if quiet else BUSY_SECONDS)

    def look(self) -> None:
        """One look, and what follows from it."""
        now = self._clock.monotonic()
        process = self._workers.running()
        if process is not None:
            self._present(process, now)
        elif self._process is not None:
            self._gone(now, "it is dead")
        elif self._due is not None:
            if now >= self._due.at:
                self._restart(now)
        elif self._workers.named() not in (None, self._buried):
            self._gone(now, "it died as it started")  # between two looks
        elif self._awaited_until is not None and now >= self._awaited_until:
            if self._launched:
                self._gone(now, "it did not start")
            else:
                self._launch(now)

    def _present(self, process: pidfile.Process, now: float) -> None:
        if process != self._process:
            self._process, self._seen_at = process, now
            self._workers.on_end(process, self._ended.set)
            self._due = self._awaited_until = self._ending = None
            self._restarts = self._restarts.started(now)
            log.info("Keeping worker %d", process.pid, extra={"action": "worker_seen", "pid": process.pid})
        if self._ending is not None:
            if now >= self._ending[1]:
                self._workers.signal(process, signal.SIGKILL)
            return
        if (why := self._sick(process, now)) is not None:
            log.error(
                "Cannot leave worker %d running: %s; ending it", process.pid, why, extra={"action": "worker_sick"}
            )
            self._workers.signal(process, signal.SIGTERM)
            self._ending = process, now + TERM_SECONDS
            return
        self._restarts = self._restarts.healthy(now)
        if self._restarts.count == 0:
            self.alert = False

    def _sick(self, process: pidfile.Process, now: float) -> str | None:
        heard = max(self._seen_at, self._view.answered_at or 0.0)
        if now - heard > SILENT_SECONDS:
            return f"silent for {now - heard:.0f} s"
        memory = self._workers.memory_bytes(process)
        if memory > self._memory_max_bytes:
            return f"it uses {memory} bytes of memory, {self._memory_max_bytes} are allowed"
        return None

    def _gone(self, now: float, why: str) -> None:
        self._process = self._ending = self._awaited_until = None
        self._buried = self._workers.named()
        self._restarts, self._due = self._restarts.died(now)
        self.alert = self.alert or self._due.alert
        log.log(
            logging.ERROR if self._due.alert else logging.WARNING,
            "Cannot see the worker: %s; restart %d in %g s",
            why,
            self._due.number,
            self._due.at - now,
            extra={"action": "worker_alert" if self._due.alert else "worker_died", "restart": self._due.number},
        )
        if now >= self._due.at:
            self._restart(now)

    def _restart(self, now: float) -> None:
        self._due = None
        self.restarted += self._start
        self._launch(now)

    def _launch(self, now: float) -> None:
        self._awaited_until = now + APPEAR_SECONDS
        if not self._start:
            return
        self._launched = True
        try:
            self._workers.start()
        except OSError as error:
            log.error("Cannot start the worker: %s; trying again", error, extra={"action": "worker_start"})
