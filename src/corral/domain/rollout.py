"""What a rollout does next: a pure function of its state, the facts and the time. No rule about going on or stopping lives elsewhere.

What holds, whatever happens in whatever order (tests/unit/domain/test_rollout_safety.py):
- never more than one stage is out; stage k+1 never starts before the gate of stage k passed and what it left open has stopped;
- a paused rollout starts nothing; a node is touched at most once in each direction;
- the deadline ends a stage, always; a rollback reaches every node that was touched, those that failed first.

At most one record is in an answer, and it is the last: perform, record, look again. The diagram in docs/architecture.md is drawn
from TRANSITIONS by `python -m corral.testing.diagram`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from corral.domain.rollout_actions import (
    Action,
    Adopt,
    Begin,
    Cancel,
    Check,
    EndStage,
    Finish,
    PlanBack,
    Probe,
    Start,
    StartGate,
    Tidied,
)
from corral.domain.rollout_facts import Facts, JobFact, Spent, Tally, beyond, spent, tally
from corral.domain.rollout_state import (
    TRANSITIONS,
    Direction,
    Gate,
    GateKind,
    GateState,
    Rollout,
    RolloutState,
    Stage,
    counted,
    gate_operation,
    named,
    operation,
)
from corral.domain.task import TaskState

__all__ = ["PATIENCE_SECONDS", "STOP_SECONDS", "TRANSITIONS", "RolloutState", "decide"]

PATIENCE_SECONDS: Final = 30.0
"""Offline nodes within the tolerance are waited for that long (or half a short deadline), not until the deadline."""
STOP_SECONDS: Final = 30.0
"""How long what was cancelled may take to stop before things go on without it."""


_SAID: Final = frozenset({TaskState.FAILED, TaskState.TIMED_OUT, TaskState.CANCELLED})


def decide(rollout: Rollout, facts: Facts, now: datetime) -> list[Action]:
    """What to do now; nothing when there is nothing to do but wait."""
    for direction, stages in ((Direction.FORWARD, rollout.stages), (Direction.BACK, rollout.back)):
        for index, stage in enumerate(stages):
            job = facts.jobs.get(operation(rollout.id, direction, index))
            if stage.job is None and job is not None and not job.awaiting:
                return [Adopt(direction, index, job.id, job.approved_at or job.created_at)]
    if left := _left_over(rollout, facts, now):
        return left
    if rollout.state is RolloutState.CREATED:
        return [Begin()]
    if rollout.state in (RolloutState.RUNNING, RolloutState.PAUSED):
        return _forward(rollout, facts, now)
    return _back(rollout, facts, now) if rollout.state is RolloutState.ROLLING_BACK else []


def needs_attention(rollout: Rollout) -> bool:
    """Whether `decide` can have something to say about it, now or later."""
    return any(stage.cut for stage in rollout.stages) or rollout.state in (
        RolloutState.CREATED,
        RolloutState.RUNNING,
        RolloutState.PAUSED,
        RolloutState.ROLLING_BACK,
    )


# ── forward ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _left_over(rollout: Rollout, facts: Facts, now: datetime) -> list[Action]:
    """Stop what an ended stage left open, and say when that is done."""
    for index, stage in enumerate(rollout.stages):
        if not stage.cut:
            continue
        jobs = _jobs_of(rollout, facts, index)
        if cancels := _cancels(jobs, facts):
            return cancels
        ended = stage.ended_at or rollout.finished_at
        waited = ended is not None and now >= ended + timedelta(seconds=STOP_SECONDS)
        if (waited and not facts.settling) or not any(job.open for job in jobs):
            return [Tidied(index)]
    return []


def _forward(rollout: Rollout, facts: Facts, now: datetime) -> list[Action]:
    index = rollout.current
    if index == len(rollout.stages):
        return []
    stage = rollout.stages[index]
    job = facts.jobs.get(operation(rollout.id, Direction.FORWARD, index))
    if stage.ended_at is not None:
        return []
    if job is None:
        if stage.job is not None:
            return [EndStage(Direction.FORWARD, index, False, f"its job {stage.job} is gone")]
        may = rollout.state is RolloutState.RUNNING and _may_start(rollout, index, now)
        return [Start(Direction.FORWARD, index, stage.nodes)] if may else []
    due = stage.deadline_at is not None and now >= stage.deadline_at and not facts.settling
    found = tally(job, judged=False)
    before = spent(_earlier(rollout, facts, index))
    if wrong := beyond(rollout, stage, found, before):
        return _stop(rollout, facts, index, job, wrong, due=due)
    if found.open and not due and (facts.settling or not _tolerable(rollout, stage, job, found, before, now)):
        return []
    judged = tally(job, judged=True)
    if wrong := beyond(rollout, stage, judged, before):
        return [EndStage(Direction.FORWARD, index, False, f"{wrong} (deadline)", cut=True)]
    return _gates(rollout, facts, index, judged, now, due=due, cut=bool(found.open))


def _may_start(rollout: Rollout, index: int, now: datetime) -> bool:
    if any(stage.gate is not GateState.PASSED or stage.cut for stage in rollout.stages[:index]):
        return False
    if index <= rollout.approved:
        return True
    ended = rollout.stages[index - 1].ended_at
    interval = timedelta(seconds=rollout.settings.advance_interval_seconds)
    return rollout.settings.auto_advance and ended is not None and now >= ended + interval


def _stop(rollout: Rollout, facts: Facts, index: int, job: JobFact, wrong: str, *, due: bool) -> list[Action]:
    """Too much went wrong: what has not begun does not begin, what runs may finish until the deadline."""
    waiting = tuple(n for n in _cancellable(job, facts) if job.tasks[n].state is TaskState.QUEUED)
    if waiting and not due:
        return [Cancel(job.id, waiting)]
    if job.open and not due:
        return []
    return [EndStage(Direction.FORWARD, index, False, wrong, cut=bool(job.open))]


def _tolerable(rollout: Rollout, stage: Stage, job: JobFact, found: Tally, before: Spent, now: datetime) -> bool:
    """Whether all that is open waits for nodes that are away, few enough and for long enough."""
    if stage.started_at is None or not all(job.tasks[node].waits_for_node for node in found.open):
        return False
    patience = min(PATIENCE_SECONDS, rollout.settings.stage_deadline_seconds / 2)
    if now < stage.started_at + timedelta(seconds=patience):
        return False
    return not beyond(rollout, stage, tally(job, judged=True), before)


# ── gates ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _gates(
    rollout: Rollout, facts: Facts, index: int, done: Tally, now: datetime, *, due: bool, cut: bool
) -> list[Action]:
    """All tasks are judged and within the tolerance: the first gate that has no answer yet is asked."""
    stage = rollout.stages[index]
    if rollout.settings.gates and stage.gate is GateState.PENDING and not due:
        return [Check(index)]
    for number, gate in enumerate(rollout.settings.gates):
        verdict = _ask(rollout, facts, index, number, gate, done, now)
        if isinstance(verdict, str):
            if verdict:
                return [EndStage(Direction.FORWARD, index, False, f"gate {gate}: {verdict}", cut=cut)]
            continue
        if due:
            return [EndStage(Direction.FORWARD, index, False, f"gate {gate}: no answer before the deadline", cut=True)]
        return verdict if rollout.state is RolloutState.RUNNING else []
    return [EndStage(Direction.FORWARD, index, True, cut=cut)]


def _ask(
    rollout: Rollout, facts: Facts, index: int, number: int, gate: Gate, done: Tally, now: datetime
) -> str | list[Action]:
    """Empty = passed, words = failed of that, a list = not known yet and what to do for it."""
    stage = rollout.stages[index]
    if gate.kind is GateKind.EXIT or not done.succeeded:
        return ""
    if gate.kind is GateKind.ONLINE:
        away = [node for node in done.succeeded if node in facts.offline]
        allowed = rollout.settings.max_unreachable.stage.of(len(stage.nodes))
        gone = len(away) + len(done.unreachable)
        patient = stage.checked_at is not None and now < stage.checked_at + timedelta(seconds=PATIENCE_SECONDS)
        if gone > allowed and (patient or facts.settling):
            return []
        return f"{counted(gone)} offline ({named(away)}), {allowed} allowed" if gone > allowed else ""
    if gate.kind is GateKind.HTTP:
        probe = facts.probes.get((index, number, stage.round))
        if probe is None:
            return [Probe(index, number, stage.round)]
        return "" if probe.passed else probe.text or "refused"
    job = facts.jobs.get(gate_operation(rollout.id, index, number, stage.round))
    if job is None:
        return [StartGate(index, number, stage.round, done.succeeded)]
    if job.open:
        return []
    bad = [node for node, task in sorted(job.tasks.items()) if task.state is not TaskState.SUCCEEDED]
    allowed = rollout.settings.max_failed.stage.of(len(stage.nodes))
    return (
        f"{counted(len(bad))} did not pass ({named(bad)}), {allowed} allowed; see {job.id}"
        if len(bad) > allowed
        else ""
    )


# ── back ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _back(rollout: Rollout, facts: Facts, now: datetime) -> list[Action]:
    forward = [job for index in range(len(rollout.stages)) for job in _jobs_of(rollout, facts, index)]
    if cancels := _cancels(forward, facts):
        return cancels
    asked = rollout.rollback_asked_at or now
    if any(job.open for job in forward) and (facts.settling or now < asked + timedelta(seconds=STOP_SECONDS)):
        return []
    last = len(rollout.back) - 1
    if rollout.back and rollout.back[last].ended_at is None:
        return _back_stage(rollout, facts, last, now)
    if plan := plan_back(rollout, facts):
        return [plan]
    left = sorted(
        node
        for index, stage in enumerate(rollout.back)
        for node in stage.nodes
        if not _is_back(facts.jobs.get(operation(rollout.id, Direction.BACK, index)), node)
    )
    if left:
        return [Finish(RolloutState.FAILED, f"{counted(len(left))} not back: {named(left)}")]
    return [Finish(RolloutState.ROLLED_BACK, rollout.reason)]


def _back_stage(rollout: Rollout, facts: Facts, index: int, now: datetime) -> list[Action]:
    """Nobody is given up: an offline node keeps its task and goes back when it connects, but the rollback goes on."""
    stage = rollout.back[index]
    job = facts.jobs.get(operation(rollout.id, Direction.BACK, index))
    if job is None:
        if stage.job is not None:
            return [EndStage(Direction.BACK, index, False, f"its job {stage.job} is gone")]
        return [Start(Direction.BACK, index, stage.nodes)]
    due = stage.deadline_at is not None and now >= stage.deadline_at and not facts.settling
    if job.open and not due:
        return []
    bad = [node for node, task in sorted(job.tasks.items()) if task.state is not TaskState.SUCCEEDED]
    return [EndStage(Direction.BACK, index, not bad, f"{counted(len(bad))} not back: {named(bad)}" if bad else "")]


def plan_back(rollout: Rollout, facts: Facts) -> PlanBack | None:
    """The next nodes to go back: those whose task did not succeed, then the others, the last stage first.

    Never more at once than the largest stage that went forward.
    """
    planned = {node for stage in rollout.back for node in stage.nodes}
    bad: list[str] = []
    good: list[list[str]] = []
    for index, stage in enumerate(rollout.stages):
        job = facts.jobs.get(operation(rollout.id, Direction.FORWARD, index))
        if job is None and stage.job is None:
            continue
        # A job that is gone can say nothing any more: all its nodes may have been touched.
        touched = [n for n in stage.nodes if n not in planned and (job is None or _touched(rollout, job, n))]
        well = {n for n in touched if job is not None and job.tasks[n].state is TaskState.SUCCEEDED}
        bad += [n for n in touched if n not in well]
        good.append([n for n in touched if n in well])
    most = max(len(stage.nodes) for stage in rollout.stages)
    if bad:
        return PlanBack("what failed", tuple(bad[:most]))
    for index in range(len(good) - 1, -1, -1):
        if good[index]:
            return PlanBack(f"stage {index + 1}", tuple(good[index]))
    return None


def _touched(rollout: Rollout, job: JobFact, node: str) -> bool:
    task = job.tasks.get(node)
    if task is None:
        return False
    if rollout.kind == "file" and task.changed is None and task.state in _SAID:
        # A file task says whether it changed something before it touches anything: one that says nothing had not come that far,
        # and going back from there would undo somebody else's change.
        return False
    return task.touched


def _is_back(job: JobFact | None, node: str) -> bool:
    return job is not None and node in job.tasks and job.tasks[node].state is TaskState.SUCCEEDED


# ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _jobs_of(rollout: Rollout, facts: Facts, index: int) -> list[JobFact]:
    """The job of a stage that went forward, and those of its gates."""
    stage = rollout.stages[index]
    names = [operation(rollout.id, Direction.FORWARD, index)]
    names += [
        gate_operation(rollout.id, index, gate, round)
        for gate in range(len(rollout.settings.gates))
        for round in range(1, stage.round + 1)
    ]
    return [facts.jobs[name] for name in names if name in facts.jobs]


def _earlier(rollout: Rollout, facts: Facts, index: int) -> list[JobFact]:
    names = [operation(rollout.id, Direction.FORWARD, each) for each in range(index)]
    return [facts.jobs[name] for name in names if name in facts.jobs]


def _cancels(jobs: Sequence[JobFact], facts: Facts) -> list[Action]:
    found: list[Action] = []
    for job in jobs:
        nodes = _cancellable(job, facts)
        if nodes:
            found.append(Cancel(job.id, None if len(nodes) == len(job.uncancelled) else nodes))
    return found


def _cancellable(job: JobFact, facts: Facts) -> tuple[str, ...]:
    """Open tasks that may be asked to stop now.

    A queued task of a node that is away is withdrawn on the spot. While nodes are still coming back to a new server (settling) it may
    have run long ago, its report on the way: withdrawn, it would count as not touched and never be taken back.
    """
    return tuple(sorted(n for n in job.uncancelled if not (facts.settling and job.tasks[n].waits_for_node)))
