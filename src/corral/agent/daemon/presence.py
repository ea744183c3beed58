"""Beats: the node says every ten seconds that it is alive and what its worker holds, by a digest the server compares.

The first beat goes out the moment the link is up, the others with jitter, so that a fleet does not beat in one instant. A worker that
does not answer is told as `down`: the node stays online, since its daemon is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import corral
from corral.agent.link.port import Link, LinkDown
from corral.domain.errors import CorralError
from corral.protocol import codec, subjects
from corral.protocol.messages import BeatMessage
from corral.runtime.backoff import spread
from corral.runtime.clock import Clock

_COPIED = ("digest", "queued", "spool", "spool_bytes", "slots", "factor", "state_revision", "policy_revision")

_LOOK_SECONDS = 0.5


class Presence:
    """Component. `status` asks the worker; whatever it raises means that the worker is down."""

    __slots__ = (
        "_beat_seconds",
        "_boot_id",
        "_clock",
        "_link",
        "_restarts",
        "_status",
        "_subject",
        "_worker_missing",
        "beats",
        "name",
    )

    def __init__(
        self,
        *,
        node_id: str,
        link: Link,
        status: Callable[[], Awaitable[Mapping[str, Any]]],
        clock: Clock,
        beat_seconds: float = 10.0,
        boot_id: str = "",
        restarts: Callable[[], int] | None = None,
    ) -> None:
        self.name = "presence"
        self._subject = subjects.up(node_id, "beat")
        self._link = link
        self._status = status
        self._clock = clock
        self._beat_seconds = beat_seconds
        self._boot_id = boot_id
        self._restarts = restarts
        self._worker_missing = True
        self.beats = 0

    async def run(self, ready: Callable[[], None]) -> None:
        self._link.on_connect(self.beat)
        ready()
        while True:
            await self._pause()
            await self.beat()

    async def _pause(self) -> None:
        """Until the next beat is due; a worker that comes up meanwhile is told at once."""
        left = spread(self._beat_seconds, 0.1)
        while self._worker_missing and left > _LOOK_SECONDS:
            await self._clock.sleep(_LOOK_SECONDS)
            left -= _LOOK_SECONDS
            if self._worker_missing and await self._answers():
                return
        await self._clock.sleep(left)

    async def _answers(self) -> bool:
        try:
            await self._status()
        except (CorralError, OSError):
            return False
        return True

    async def beat(self) -> None:
        """Ask the worker (also while the link is down: the keeper watches the same answers), then tell the server."""
        try:
            status: Mapping[str, Any] | None = await self._status()
        except (CorralError, OSError):
            status = None
        self._worker_missing = status is None
        if not self._link.connected:
            return
        try:
            await self._link.publish(self._subject, codec.encode(self._message(status)))
            self.beats += 1
        except LinkDown:
            pass  # the next connect beats at once

    def _message(self, status: Mapping[str, Any] | None) -> BeatMessage:
        fields: dict[str, Any] = {"worker": "down"}
        if status is not None:
            fields = {name: status[name] for name in _COPIED if name in status}
            running = status.get("running", 0)
            fields["running"] = running if isinstance(running, int) else len(running)
        return BeatMessage(
            sent=self._clock.wall(),
            boot_id=self._boot_id,
            version=corral.__version__,
            restarts=self._restarts() if self._restarts is not None else 0,
            **fields,
        )
