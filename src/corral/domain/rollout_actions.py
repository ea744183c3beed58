"""What may be done next to a rollout, and what each recorded action makes of its state. Pure.

Three kinds: `Start`, `StartGate` submit a job, under a name that only one job can have; `Probe`, `Cancel` may be repeated at will;
the others are records, and `apply` says what they record. A job that was started is known by its name before it is recorded
(`Adopt`), so that a crash between the two changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from corral.domain.rollout_state import Direction, GateState, Hold, OnFailure, Rollout, RolloutState, Stage, moved


@dataclass(frozen=True, slots=True)
class Start:
    """Submit the job of a stage, on exactly these nodes."""

    direction: Direction
    index: int
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StartGate:
    """Submit the probe job of a command gate."""

    index: int
    gate: int
    round: int
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask an HTTP gate's address, in the background; the answer comes back as a fact."""

    index: int
    gate: int
    round: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ask tasks of a job to stop; `nodes` None = all that are open."""

    job: str
    nodes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Begin:
    pass


@dataclass(frozen=True, slots=True)
class Adopt:
    """A stage's job exists: from its creation the stage's time runs."""

    direction: Direction
    index: int
    job: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Check:
    """All tasks are within the tolerance; the gates behind them are being asked."""

    index: int


@dataclass(frozen=True, slots=True)
class EndStage:
    """`cut`: tasks are still open and have to be cancelled."""

    direction: Direction
    index: int
    passed: bool
    why: str = ""
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Tidied:
    """What was open when the stage ended has stopped, or was waited for long enough."""

    index: int


@dataclass(frozen=True, slots=True)
class PlanBack:
    """The next stage of the rollback."""

    name: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    state: RolloutState
    why: str = ""


Record: TypeAlias = Begin | Adopt | Check | EndStage | Tidied | PlanBack | Finish
Action: TypeAlias = Start | StartGate | Probe | Cancel | Record


def apply(rollout: Rollout, record: Record, now: datetime) -> Rollout:
    """The rollout with `record` in it. Raises WrongState when the table of states does not allow it."""
    if isinstance(record, Begin):
        return moved(rollout, RolloutState.RUNNING)
    if isinstance(record, Finish):
        return replace(moved(rollout, record.state, reason=record.why), finished_at=now)
    if isinstance(record, PlanBack):
        return replace(rollout, back=(*rollout.back, Stage(name=record.name, nodes=record.nodes)))
    if isinstance(record, Adopt):
        deadline = record.at + timedelta(seconds=rollout.settings.stage_deadline_seconds)
        return _with(rollout, record, job=record.job, started_at=record.at, deadline_at=deadline)
    if isinstance(record, Check):
        return _with(rollout, record, gate=GateState.CHECKING, checked_at=now)
    if isinstance(record, Tidied):
        return _with(rollout, record, cut=False)
    gate = GateState.PASSED if record.passed else GateState.FAILED
    ended = _with(rollout, record, gate=gate, why=record.why, ended_at=now, cut=record.cut)
    if record.direction is Direction.BACK:
        return ended
    return _after_stage(ended, record, now)


def _after_stage(rollout: Rollout, ended: EndStage, now: datetime) -> Rollout:
    number = ended.index + 1
    if not ended.passed:
        reason = f"stage {number} failed: {ended.why}"
        running = rollout.state is RolloutState.RUNNING
        if running and rollout.settings.on_failure is OnFailure.ROLLBACK and rollout.settings.can_roll_back:
            return replace(moved(rollout, RolloutState.ROLLING_BACK, reason=reason), rollback_asked_at=now)
        return hold(rollout, Hold.FAILED, reason)
    if number == len(rollout.stages):
        return replace(moved(rollout, RolloutState.SUCCEEDED), finished_at=now)
    if rollout.settings.auto_advance or rollout.approved > ended.index:
        return rollout
    return hold(rollout, Hold.ADVANCE, f"stage {number} passed; stage {number + 1} waits for advance")


def hold(rollout: Rollout, why: Hold, reason: str) -> Rollout:
    """Paused for this reason, whether or not it was paused before."""
    if rollout.state is RolloutState.PAUSED:
        return replace(rollout, hold=why, reason=reason)
    return replace(moved(rollout, RolloutState.PAUSED, reason=reason), hold=why)


def _with(rollout: Rollout, record: Adopt | Check | EndStage | Tidied, **fields: object) -> Rollout:
    """`fields` replaced in the stage the record is about."""
    back = getattr(record, "direction", Direction.FORWARD) is Direction.BACK
    stages = list(rollout.back if back else rollout.stages)
    stages[record.index] = replace(stages[record.index], **fields)  # type: ignore[arg-type]  # names of Stage's fields, above
    return replace(rollout, back=tuple(stages)) if back else replace(rollout, stages=tuple(stages))
