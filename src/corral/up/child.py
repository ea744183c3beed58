"""One child process: restarted with backoff when it dies (unless somebody else keeps it), asked to stop at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from corral.runtime.backoff import Backoff
from corral.runtime.clock import Clock

log = logging.getLogger("corral.up")
RESTART = Backoff(delays_seconds=(0.2, 1, 2, 5), jitter=0.1)
_HEALTHY_SECONDS = 10.0


class Child:
    """Component: a process with its output in a log file. `ready` is called as soon as it was started.

    `kept_by` names who starts it again when it dies, if that is not us.
    """

    def __init__(
        self,
        *,
        name: str,
        argv: Sequence[str],
        log_file: Path,
        clock: Clock,
        env: Mapping[str, str] | None = None,
        kept_by: str = "",
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self._log_file = log_file
        self._clock = clock
        self._kept_by = kept_by
        self._env = dict(os.environ if env is None else env)
        self.pid: int | None = None
        self.restarts = 0

    async def run(self, ready: Callable[[], None]) -> None:
        tries = 0
        while True:
            started = self._clock.monotonic()
            process = await self._start()
            ready()
            try:
                status = await process.wait()
            except asyncio.CancelledError:
                await self._stop(process)
                raise
            self.pid = None
            if self._kept_by:
                log.warning("%s ended with status %d; %s starts it again", self.name, status, self._kept_by)
                await asyncio.Event().wait()
            tries = 0 if self._clock.monotonic() - started > _HEALTHY_SECONDS else tries + 1
            delay = RESTART.delay(tries)
            self.restarts += 1
            log.warning(
                "%s ended with status %d; starting it again in %.1f s (its log: %s)",
                self.name,
                status,
                delay,
                self._log_file,
            )
            await self._clock.sleep(delay)

    async def _start(self) -> asyncio.subprocess.Process:
        with self._log_file.open("ab") as output:
            # A session of its own: Ctrl-C in the terminal reaches the launcher alone, which stops the parts in order.
            process = await asyncio.create_subprocess_exec(
                *self.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._env,
                start_new_session=True,
            )
        self.pid = process.pid
        return process

    async def _stop(self, process: asyncio.subprocess.Process, grace_seconds: float = 8.0) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), grace_seconds)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
