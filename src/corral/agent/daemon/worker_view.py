"""What the daemon knows of the worker: its last answer over the local socket, and when it came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corral.agent.local import LocalClient
from corral.domain.errors import CorralError
from corral.runtime.clock import Clock

ANSWER_SECONDS = 2.0


class WorkerView:
    """`status` asks now; the rest remembers. Asked by presence before each beat, watched by the keeper."""

    def __init__(self, socket: Path, clock: Clock) -> None:
        self._client = LocalClient(socket)
        self._clock = clock
        self.last: dict[str, Any] | None = None
        """Its latest answer; None once it did not answer."""
        self.answered_at: float | None = None
        self.server_offset: float | None = None
        """Server time minus our wall clock, as far as the worker has learnt it."""

    async def status(self) -> dict[str, Any]:
        """Raises Unavailable when the worker does not answer."""
        try:
            answer = await self._client.call("status", timeout_seconds=ANSWER_SECONDS)
        except CorralError:
            self.last = None
            raise
        self.last = last = answer if isinstance(answer, dict) else {}
        self.answered_at = self._clock.monotonic()
        offset = last.get("server_offset")
        self.server_offset = float(offset) if isinstance(offset, int | float) else None
        return last

    def close(self) -> None:
        self._client.close()
