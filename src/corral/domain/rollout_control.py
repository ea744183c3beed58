"""What people may ask of a rollout, as functions of its state: each gives the new state, or the same one when there is nothing to do.

Raises WrongState with the way out when it cannot be done now. Asking twice is harmless.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from corral.domain.errors import Invalid, WrongState
from corral.domain.rollout_actions import hold
from corral.domain.rollout_state import GateState, Hold, Rollout, RolloutState, moved

_S = RolloutState


def pause(rollout: Rollout, now: datetime) -> Rollout:
    """Nothing new starts. What the current stage has handed to its nodes goes on to its end."""
    if rollout.state is _S.PAUSED:
        return rollout
    if rollout.state not in (_S.CREATED, _S.RUNNING):
        raise _wrong(rollout, "pause", "a rollback goes on to its end" if rollout.state is _S.ROLLING_BACK else "")
    return hold(rollout, Hold.ASKED, "paused by request")


def resume(rollout: Rollout, now: datetime) -> Rollout:
    """Go on after a pause; after a failed stage, judge it again as its tasks are now, with a new deadline."""
    if rollout.state is _S.RUNNING:
        return rollout
    if rollout.state is not _S.PAUSED:
        raise _wrong(rollout, "resume")
    if rollout.hold is Hold.ADVANCE:
        raise WrongState(
            f"cannot resume rollout {rollout.id!r}: {rollout.reason}",
            element="rollout",
            hint=f"corral rollout advance {rollout.id}",
        )
    stages = list(rollout.stages)
    stage = stages[rollout.current] if rollout.current < len(stages) else None
    if stage is not None and stage.gate is GateState.FAILED:
        if stage.cut:
            raise WrongState(
                f"cannot resume rollout {rollout.id!r}: what stage {rollout.current + 1} left open is being stopped",
                element="rollout",
                hint="try again in a moment",
            )
        deadline = now + timedelta(seconds=rollout.settings.stage_deadline_seconds)
        stages[rollout.current] = replace(
            stage,
            gate=GateState.PENDING,
            checked_at=None,
            ended_at=None,
            why="",
            round=stage.round + 1,
            deadline_at=deadline,
        )
    return replace(moved(rollout, _S.RUNNING), stages=tuple(stages))


def advance(rollout: Rollout, now: datetime) -> Rollout:
    """Let the next stage start. Only when the gate of the one before has passed: there is no way around a gate."""
    if rollout.state not in (_S.RUNNING, _S.PAUSED):
        raise _wrong(rollout, "advance")
    index = rollout.current
    stage = rollout.stages[index]
    if stage.gate is GateState.FAILED:
        raise WrongState(
            f"cannot advance rollout {rollout.id!r}: {rollout.reason or f'stage {index + 1} failed: {stage.why}'}",
            element="rollout",
            hint=f"mend it (corral exec retry {stage.job or 'J…'}), then corral rollout resume {rollout.id}; "
            f"or corral rollout rollback {rollout.id}",
        )
    if stage.job is not None:
        raise WrongState(
            f"cannot advance rollout {rollout.id!r}: stage {index + 1} is not over",
            element="rollout",
            hint=f"corral rollout {'status --follow' if rollout.state is _S.RUNNING else 'resume'} {rollout.id}",
        )
    approved = replace(rollout, approved=max(rollout.approved, index))
    return moved(approved, _S.RUNNING) if rollout.state is _S.PAUSED else approved


def abort(rollout: Rollout, now: datetime, *, reason: str = "aborted") -> Rollout:
    """Stop for good: no new stage, and what the current one has on its nodes is cancelled. A rollback may follow."""
    if rollout.state is _S.FAILED and not rollout.back:
        return rollout
    if rollout.state not in (_S.CREATED, _S.RUNNING, _S.PAUSED):
        raise _wrong(rollout, "abort", "a rollback goes on to its end" if rollout.state is _S.ROLLING_BACK else "")
    stages = list(rollout.stages)
    index = rollout.current
    if index < len(stages):
        # `cut` also without a job: one may have been submitted and not been recorded yet
        cut = replace(stages[index], cut=True)
        if cut.job is not None and cut.ended_at is None:
            cut = replace(cut, gate=GateState.FAILED, why=reason, ended_at=now)
        stages[index] = cut
    return replace(moved(rollout, _S.FAILED, reason=reason), stages=tuple(stages), finished_at=now)


def roll_back(rollout: Rollout, now: datetime, *, reason: str = "asked for") -> Rollout:
    """Stop going forward and take back what was touched. Raises Invalid when there is no way back known."""
    if rollout.state is _S.ROLLING_BACK:
        return rollout
    if rollout.back or rollout.state is _S.ROLLED_BACK:
        raise _wrong(rollout, "roll back", "its rollback is over")
    if not rollout.settings.can_roll_back:
        raise Invalid(
            f"cannot roll back rollout {rollout.id!r}: nothing is known that undoes it",
            element="rollback_command",
            hint="a command undoes nothing by itself, and files need their backup: "
            f"corral rollout rollback {rollout.id} --rollback-cmd 'what undoes it'",
        )
    return replace(moved(rollout, _S.ROLLING_BACK, reason=reason), rollback_asked_at=now)


def _wrong(rollout: Rollout, verb: str, why: str = "") -> WrongState:
    return WrongState(
        f"cannot {verb} rollout {rollout.id!r}: it is {rollout.state.value}" + (f"; {why}" if why else ""),
        element="rollout",
        hint=f"corral rollout status {rollout.id}",
    )
