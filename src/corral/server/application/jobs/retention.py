"""What is kept of jobs that are over, and for how long: after `keep_days` a job, its tasks, its output and its sealed spec go.

The sweep calls it once an hour on the lease holder. It goes in small batches and stops after a while, so it never holds anybody
up; what is left over goes the next time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from corral.server.application.ports.jobs import OutputLog

KEEP_DAYS: Final = 30.0
BATCHES: Final = 50


class JobPurge(Protocol):
    async def jobs(self, *, finished_before: datetime) -> Sequence[str]:
        """Delete some jobs that ended before that moment, oldest first; their ids. Empty when there are none."""
        ...


class JobRetention:
    """A retention hook. `drop_spec` removes a job's sealed spec from the engine, if it had one."""

    def __init__(
        self,
        *,
        purge: JobPurge,
        output: OutputLog,
        drop_spec: Callable[[str], Awaitable[None]],
        keep_days: float = KEEP_DAYS,
    ) -> None:
        self._purge = purge
        self._output = output
        self._drop_spec = drop_spec
        self._keep = timedelta(days=keep_days)

    async def __call__(self, now: datetime) -> int:
        """How many jobs went."""
        gone = 0
        for _ in range(BATCHES):
            jobs = await self._purge.jobs(finished_before=now - self._keep)
            if not jobs:
                break
            for job in jobs:
                await self._output.drop(job)
                await self._drop_spec(job)
            gone += len(jobs)
        return gone
