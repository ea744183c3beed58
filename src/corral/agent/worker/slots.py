"""How many tasks run at once on this node: slots × the adaptive factor, and none new while the spool is full."""

from __future__ import annotations

from corral.agent.config import AgentSettings
from corral.domain.throttle import slots_allowed


class Slots:
    def __init__(self, settings: AgentSettings) -> None:
        self._slots = settings.slots
        self._cap = settings.slots_max
        self.factor = 1.0
        self.used = 0

    @property
    def allowed(self) -> int:
        return slots_allowed(self._slots, self._cap, self.factor)

    @property
    def free(self) -> bool:
        return self.used < self.allowed
