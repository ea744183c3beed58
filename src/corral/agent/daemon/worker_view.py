"""What the daemon knows of the worker: its last answer over the local socket, and when it came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corral.agent.local import call
from corral.runtime.clock import Clock

ANSWER_SECONDS = 2.0


class WorkerView:
    """`status` asks now; the rest remembers. Asked by presence before each beat, watched by the keeper."""

    def __init__(self, socket: Path, clock: Clock) -> None:
        self._socket = socket
        self._clock = clock
        self.last: dict[str, Any] | None = None
        self.answered_at: float | None = None

    async def status(self) -> dict[str, Any]:
        """Raises Unavailable when the worker does not answer."""
        answer = await call(self._socket, "status", timeout_seconds=ANSWER_SECONDS)
        self.last = answer if isinstance(answer, dict) else {}
        self.answered_at = self._clock.monotonic()
        return self.last

    @property
    def server_offset(self) -> float | None:
        """Server time minus our wall clock, if the worker has learnt it."""
        offset = (self.last or {}).get("server_offset")
        return float(offset) if isinstance(offset, int | float) else None
