"""After a restore: the objects in <data>/restored go into the engine before any task can need one. Safe to be killed half-way."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable
from pathlib import Path

from corral.bus.port import Objects
from corral.runtime.archive import file_chunks
from corral.server.compose.backup import BUCKETS, RESTORED

log = logging.getLogger("corral.server")


class RestoredObjects:
    """Component; ready when all are stored. Each file is removed once its object is in the engine."""

    name = "restored"

    def __init__(self, *, data_dir: Path, objects: Objects) -> None:
        self._folder = data_dir / RESTORED
        self._objects = objects

    async def run(self, ready: Callable[[], None]) -> None:
        stored = 0
        for bucket in BUCKETS:
            for path in sorted((self._folder / bucket).glob("*")):
                try:
                    name = base64.urlsafe_b64decode(path.name.encode()).decode()
                except (binascii.Error, ValueError):
                    log.error("Cannot restore %s: its name is none of ours", path, extra={"action": "restore_skipped"})
                    continue
                if not await self._objects.exists(bucket, name):
                    await self._objects.put(bucket, name, file_chunks(path, path.stat().st_size))
                path.unlink()
                stored += 1
        if stored:
            log.info("Put %d restored objects into the engine", stored, extra={"action": "restored"})
        ready()
        await asyncio.Event().wait()
