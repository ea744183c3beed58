"""What unfinished uploads leave goes away after a day: parts on this server's disk, and chunks in the engine that nobody named."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from corral.domain.errors import CorralError
from corral.runtime.clock import Clock
from corral.server.application.ports.files import Blobs, Staging

KEPT: Final = timedelta(days=1)
SWEEP_SECONDS: Final = 3600.0

log = logging.getLogger("corral.files")


class UploadExpiry:
    """Component; each server looks after its own disk, the lease holder after the engine."""

    name = "uploads"

    def __init__(self, *, staging: Staging, blobs: Blobs, leads: Callable[[], bool], clock: Clock) -> None:
        self._staging = staging
        self._blobs = blobs
        self._leads = leads
        self._clock = clock

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        while True:
            await self.sweep()
            await self._clock.sleep(SWEEP_SECONDS)

    async def sweep(self) -> None:
        """One round. Never fails."""
        before = self._clock.now() - KEPT
        await self._try("uploads nobody continued", self._staging.sweep(before=before))
        if self._leads():
            await self._try("unnamed blobs of uploads that were killed", self._blobs.sweep(before=before))

    async def _try(self, what: str, sweep: Awaitable[int]) -> None:
        try:
            if gone := await sweep:
                log.info("Dropped %d %s", gone, what, extra={"action": "uploads_expired"})
        except (CorralError, OSError) as error:
            log.warning("Cannot sweep %s: %s; trying again later", what, error, extra={"action": "uploads_failed"})
