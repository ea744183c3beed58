"""What every part of one worker shares: who it is, where it keeps things, its link, its clocks, and the owner of its tasks."""

from __future__ import annotations

from dataclasses import dataclass

from corral.agent.config import AgentSettings, StateDir
from corral.agent.link.port import Link
from corral.agent.worker.servertime import ServerTime
from corral.runtime.clock import Clock
from corral.runtime.lifecycle import TaskSet


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Nothing here is global: hundreds of workers live in one process of the simulator."""

    node_id: str
    state: StateDir
    link: Link
    settings: AgentSettings
    clock: Clock
    time: ServerTime
    tasks: TaskSet
    boot_id: str

    def mark(self, job: str, attempt: int) -> str:
        """The environment entry that every process of this attempt carries."""
        return f"CORRAL_TASK={self.node_id}.{job}.{attempt}"
