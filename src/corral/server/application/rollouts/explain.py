"""`corral why R…`: where a rollout stands, why, and what to type next, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from corral.domain.ids import check_object_id
from corral.domain.rollout_facts import JobFact, tally
from corral.domain.rollout_state import (
    Direction,
    GateState,
    Hold,
    OnFailure,
    Rollout,
    RolloutState,
    Stage,
    counted,
    named,
    operation,
)
from corral.runtime.clock import Clock, iso
from corral.server.application.ports.access import Caller
from corral.server.application.ports.rollouts import RolloutStore
from corral.server.application.rollouts.facts import FactReader
from corral.server.application.rollouts.sight import RolloutSight


@dataclass(frozen=True, kw_only=True)
class RolloutExplanation:
    """`lines` are sentences in the order a person should read them."""

    rollout: str
    state: str
    lines: Sequence[str]


class RolloutExplaining:
    """Use case: reads only."""

    def __init__(
        self, *, store: RolloutStore, facts: FactReader, clock: Clock, sight: RolloutSight | None = None
    ) -> None:
        self._sight = sight or RolloutSight()
        self._store = store
        self._facts = facts
        self._clock = clock

    async def why(self, caller: Caller, rollout: str) -> RolloutExplanation:
        """Raises NotFound."""
        check_object_id(rollout, "R", element="rollout")
        found = await self._store.get(rollout)
        seen = self._sight.see(caller, found)
        jobs = self._sight.facts(caller, await self._facts.jobs(found)) if found.started or found.back else {}
        return RolloutExplanation(rollout=found.id, state=found.state.value, lines=lines(seen, jobs, self._clock.now()))


def lines(rollout: Rollout, jobs: dict[str, JobFact], now: datetime) -> list[str]:
    """Pure, so that every state can be tested."""
    out = [_first(rollout)]
    out += _stages(rollout, Direction.FORWARD, rollout.stages, jobs, now)
    out += _stages(rollout, Direction.BACK, rollout.back, jobs, now)
    return [*out, *_next(rollout)]


def _first(rollout: Rollout) -> str:
    done = sum(stage.gate is GateState.PASSED for stage in rollout.stages)
    text = f"Rollout {rollout.id} ({rollout.name}) is {rollout.state.value.replace('_', ' ')}"
    text += f": {rollout.reason}" if rollout.reason else ""
    return f"{text}. {done} of {len(rollout.stages)} stages passed."


def _what(stage: Stage) -> str:
    nodes = counted(len(stage.nodes))
    return nodes if stage.name == nodes else f"{stage.name}, {nodes}"


def _stages(
    rollout: Rollout, direction: Direction, stages: Sequence[Stage], jobs: dict[str, JobFact], now: datetime
) -> list[str]:
    out = []
    word = "Stage" if direction is Direction.FORWARD else "Rollback stage"
    for index, stage in enumerate(stages):
        job = jobs.get(operation(rollout.id, direction, index))
        if job is not None and job.awaiting:
            text = f"{word} {index + 1} ({_what(stage)}) waits for approval of job {job.id}"
            out.append(f"{text}: corral approval list. Its time begins when it is approved.")
        if stage.job is None or (stage.gate is GateState.PASSED and not stage.cut):
            continue
        found = f"{word} {index + 1} ({_what(stage)}, job {stage.job})"
        if stage.gate is GateState.FAILED:
            out.append(f"{found} failed: {stage.why}.")
        elif stage.gate is GateState.CHECKING:
            gates = ", ".join(str(gate) for gate in rollout.settings.gates)
            out.append(f"{found} is done; its gates are being asked since {iso(stage.checked_at)}: {gates}.")
        elif stage.ended_at is None:
            left = 0.0 if stage.deadline_at is None else max(0.0, (stage.deadline_at - now).total_seconds())
            out.append(f"{found} is out; its deadline is in {left:.0f} s.")
        if job is None:
            continue
        counted = tally(job, judged=stage.ended_at is not None)
        for nodes, what in (
            (counted.failed, "did not succeed"),
            (counted.unreachable, "were not reached"),
            (counted.open, "are not done"),
        ):
            if nodes:
                out.append(f"  {len(nodes)} {what}: {named(nodes)}.")
    return out


def _next(rollout: Rollout) -> list[str]:
    id_ = rollout.id
    back = f"corral rollout rollback {id_}" + ("" if rollout.settings.can_roll_back else " --rollback-cmd '…'")
    if rollout.hold is Hold.ADVANCE:
        return [f"Next: corral rollout advance {id_}, or {back}."]
    if rollout.hold is Hold.ASKED:
        return [f"Next: corral rollout resume {id_}, or {back}."]
    if rollout.hold is Hold.FAILED:
        job = rollout.stages[min(rollout.current, len(rollout.stages) - 1)].job
        mend = f"corral exec get {job} --with-output, corral exec retry {job}, then corral rollout resume {id_}"
        return [f"Next: {mend}; or {back}."]
    if rollout.state in (RolloutState.CREATED, RolloutState.ROLLING_BACK):
        return [f"Next: corral rollout status --follow {id_}."]
    if rollout.state is RolloutState.RUNNING:
        after = "it is rolled back" if rollout.settings.on_failure is OnFailure.ROLLBACK else "it pauses"
        return [f"When a stage fails {after}.", f"Next: corral rollout status --follow {id_}."]
    if rollout.state is RolloutState.FAILED:
        return [f"Next: corral rollout status {id_} -o wide." if rollout.back else f"Next: {back}."]
    return []
