"""What a rollout carries besides its change must not slip past a second person: commands of gates, and what undoes the change.

Those wait for nobody when they run: a rollback that has to be approved first comes too late. So they are looked at when the rollout is
made: where somebody would have to approve one of them, the stage itself has to be one that is approved, and its approval names them.
A command that is given with a later `rollback` is refused where it would have to be approved.
"""

from __future__ import annotations

from collections.abc import Sequence

from corral.domain import kinds
from corral.domain.errors import Denied
from corral.domain.job import CommandSpec, JobSpec, TaskSpec
from corral.domain.rollout_state import Gate, Stage
from corral.server.application.ports.access import Caller
from corral.server.application.ports.guards import SubmissionGuard
from corral.server.application.ports.rollouts import Changes


class SecondPerson:
    """`guards` are those of a submission that may make it wait."""

    def __init__(self, guards: Sequence[SubmissionGuard] = ()) -> None:
        self._guards = guards

    async def check_parts(
        self, caller: Caller, stages: Sequence[Stage], changes: Changes, gates: Sequence[Gate]
    ) -> None:
        """Raises Denied when a gate or the way back would need an approval that no stage asks for."""
        parts = besides(changes, gates)
        for stage in stages if parts else ():
            if await self._why(caller, changes.forward.spec, stage.nodes):
                continue
            for what, spec in parts:
                if why := await self._why(caller, spec, stage.nodes):
                    raise Denied(
                        f"cannot create this rollout: {what} would have to be approved ({why}), and stage {stage.name!r}, "
                        "with which it would be, has not to",
                        element="approval",
                        hint="run it as a job of its own, which then waits for approval",
                    )

    async def check_way_back(self, caller: Caller, command: CommandSpec, nodes: Sequence[str]) -> None:
        """Raises Denied when this command would have to be approved: nobody has seen it."""
        if why := await self._why(caller, command, nodes):
            raise Denied(
                f"cannot roll back with this command: it would have to be approved ({why})",
                element="approval",
                hint="roll back with what the rollout was made with, or run the command as a job, which waits for approval",
            )

    async def _why(self, caller: Caller, spec: TaskSpec, nodes: Sequence[str]) -> str:
        job = JobSpec(target="all", command=spec, kind=kinds.kind_name(spec))
        for guard in self._guards:
            if hold := await guard.check(caller, job, nodes):
                return hold.why
        return ""


def besides(changes: Changes, gates: Sequence[Gate]) -> list[tuple[str, TaskSpec]]:
    """What runs on nodes besides the change itself, and what to call it."""
    found: list[tuple[str, TaskSpec]] = []
    if changes.back is not None:
        found.append((f"the way back, {kinds.line(changes.back.spec)!r},", changes.back.spec))
    probes = [gate.probe for gate in gates if gate.probe is not None]
    return found + [(f"the gate {kinds.line(probe)!r}", probe) for probe in probes]


def covered(changes: Changes, gates: Sequence[Gate]) -> str:
    """What whoever approves a stage approves with it, in words; empty when nothing."""
    return "; ".join(what.rstrip(",") for what, _ in besides(changes, gates))
