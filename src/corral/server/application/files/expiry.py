"""Uploads nobody continued for a day go away."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from corral.domain.errors import CorralError
from corral.runtime.clock import Clock
from corral.server.application.ports.files import Staging

KEPT: Final = timedelta(days=1)
SWEEP_SECONDS: Final = 3600.0

log = logging.getLogger("corral.files")


class UploadExpiry:
    """Component; each server looks after its own disk."""

    name = "uploads"

    def __init__(self, *, staging: Staging, clock: Clock) -> None:
        self._staging = staging
        self._clock = clock

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        while True:
            try:
                gone = await self._staging.sweep(before=self._clock.now() - KEPT)
                if gone:
                    log.info("Dropped %d uploads nobody continued", gone, extra={"action": "uploads_expired"})
            except (CorralError, OSError) as error:
                log.warning("Cannot sweep uploads: %s; trying again later", error, extra={"action": "uploads_failed"})
            await self._clock.sleep(SWEEP_SECONDS)
