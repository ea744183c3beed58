"""How much of a rollout a caller sees: the nodes inside his grants. One without any is not there for him.

Its counts, state and reason are those of the whole rollout. Steering is never cut: it needs the permission on every node of it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from corral.domain.errors import NotFound
from corral.domain.rollout_facts import JobFact
from corral.domain.rollout_state import Rollout, Stage
from corral.server.application.access.scope import ALL, Nodes, Scope
from corral.server.application.ports.access import Caller

READ = "rollout.read"
WRITE = "rollout.write"


class RolloutSight:
    def __init__(self, scope: Scope | None = None) -> None:
        self.scope = scope or Scope()

    def cut(self, caller: Caller, rollout: Rollout, *permissions: str) -> Rollout | None:
        """The rollout with the nodes where the caller has one of `permissions`; None when there is none."""
        allowed = self.scope.allowed(caller, *permissions or (READ,))
        if allowed is ALL:
            return rollout
        if not any(node in allowed for stage in rollout.stages for node in stage.nodes):
            return None
        return replace(rollout, stages=_cut(rollout.stages, allowed), back=_cut(rollout.back, allowed))

    def see(self, caller: Caller, rollout: Rollout, *permissions: str) -> Rollout:
        """As `cut`; raises NotFound."""
        seen = self.cut(caller, rollout, *permissions)
        if seen is None:
            raise NotFound(f"cannot find rollout {rollout.id!r}", element="rollout", hint="corral rollout list")
        return seen

    def whole(self, caller: Caller, rollout: Rollout) -> bool:
        """Whether the caller may see every node of it."""
        allowed = self.scope.allowed(caller, READ)
        return allowed is ALL or all(node in allowed for stage in rollout.stages for node in stage.nodes)

    def require(self, caller: Caller, rollout: Rollout, permissions: Collection[str], doing: str) -> None:
        """Raises NotFound, or Denied when a node of it is outside."""
        if caller.grants is None:
            return
        self.see(caller, rollout, READ, WRITE)
        self.scope.require(caller, permissions, rollout.nodes, f"{doing} rollout {rollout.id!r}")

    def facts(self, caller: Caller, jobs: dict[str, JobFact]) -> dict[str, JobFact]:
        allowed = self.scope.allowed(caller, READ)
        if allowed is ALL:
            return jobs
        return {
            name: replace(job, tasks={node: task for node, task in job.tasks.items() if node in allowed})
            for name, job in jobs.items()
        }


def _cut(stages: tuple[Stage, ...], allowed: Nodes) -> tuple[Stage, ...]:
    return tuple(replace(stage, nodes=tuple(node for node in stage.nodes if node in allowed)) for stage in stages)
