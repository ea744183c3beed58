"""Creation: a target and a strategy become pinned stages, with all that a person wants to see before anything happens.

The target is resolved once, here, and pinned by its hash; the change is completed once (the newest revision becomes a number), so
that every stage gets the same. Nothing starts here: the driver takes a created rollout up.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from corral.domain import kinds
from corral.domain.artifact import FileOp, FileSpec
from corral.domain.errors import Conflict, Invalid
from corral.domain.ids import new_id
from corral.domain.job import JobSpec, TaskSpec, pinned_hash
from corral.domain.rollout_plan import Strategy, StrategyKind, plan
from corral.domain.rollout_state import Gate, GateKind, OnFailure, Rollout, Settings, Stage, Tolerance
from corral.runtime.clock import Clock, now_ms
from corral.server.application.jobs.allowed import check_allowed
from corral.server.application.jobs.submit import Complete, as_given
from corral.server.application.ports.access import Caller
from corral.server.application.ports.fleet import Fleet
from corral.server.application.ports.rollouts import Change, Changes, Prober, RolloutStore
from corral.server.application.rollouts.asking import SecondPerson
from corral.server.application.rollouts.compare import Comparison, compare
from corral.server.application.rollouts.sight import WRITE, RolloutSight

NAME_CHARS: Final = 200
GATES_MAX: Final = 10
DEADLINE_MAX_SECONDS: Final = 7 * 86400.0
INTERVAL_MAX_SECONDS: Final = 7 * 86400.0
UNKNOWN_OWNER: Final = "-"
"""No user has it, so nothing starts in the name of somebody who is limited and nobody."""
SLACK_SECONDS: Final = 60.0
"""What a stage gets beyond the time limit of its command, when nothing else is asked for."""
LABEL_VALUES_SHOWN: Final = 20


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a person asks for. None = the default. `pinned`: only if the target is still this set."""

    name: str
    target: str
    strategy: Strategy
    changes: Changes
    stage_deadline_seconds: float | None = None
    max_failed: Tolerance = field(default_factory=Tolerance)
    max_unreachable: Tolerance = field(default_factory=Tolerance)
    gates: Sequence[Gate] = ()
    on_failure: OnFailure = OnFailure.PAUSE
    auto_advance: bool = False
    advance_interval_seconds: float = 0.0
    pinned: str | None = None


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A rollout as it was or would be created. `labels`: key → value → how many nodes, as far as that tells nodes apart."""

    rollout: Rollout
    offline: Sequence[str]
    labels: Mapping[str, Mapping[str, int]]
    comparison: Comparison | None


class Creation:
    """Use case. `complete` is what completes a submission; `random` gives the random part of an id."""

    def __init__(
        self,
        *,
        store: RolloutStore,
        fleet: Fleet,
        prober: Prober,
        clock: Clock,
        complete: Complete = as_given,
        wake: Callable[[], None] = lambda: None,
        sight: RolloutSight | None = None,
        second: SecondPerson | None = None,
    ) -> None:
        self._second = second or SecondPerson()
        self._sight = sight or RolloutSight()
        self._store = store
        self._fleet = fleet
        self._prober = prober
        self._clock = clock
        self._complete = complete
        self._wake = wake

    async def plan(self, caller: Caller, wanted: Wanted) -> Planned:
        """What `create` would make; nothing is stored. Raises what `create` raises."""
        planned, _ = await self._plan(caller, wanted)
        return planned

    async def create(self, caller: Caller, wanted: Wanted, operation: str | None = None) -> Planned:
        """Committed when it returns; stage 1 starts within a moment. The same `operation` again returns the first rollout.

        Raises Invalid, Denied, BadSelector, NothingMatched, NotFound (an artifact), Conflict (another set than `pinned`).
        """
        planned, changes = await self._plan(caller, wanted)
        stored = await self._store.add(planned.rollout, changes, operation=operation)
        self._wake()
        return replace(planned, rollout=stored)

    async def _plan(self, caller: Caller, wanted: Wanted) -> tuple[Planned, Changes]:
        _check_text(wanted)
        nodes = self._fleet.resolve(wanted.target)
        pinned = pinned_hash(nodes)
        if wanted.pinned is not None and wanted.pinned != pinned:
            raise Conflict(
                f"cannot create rollout {wanted.name!r}: the target is another set of nodes than the one that was shown",
                element="pinned",
                hint="look at it again with --dry-run",
            )
        stages = plan(
            wanted.strategy, nodes, labels=lambda node: self._fleet.get(node).labels, resolve=self._fleet.resolve
        )
        settings = self._settings(wanted, stages)
        changes = await self._changes(caller, wanted, settings)
        self._check_scope(caller, stages, changes, settings)
        await self._second.check_parts(caller, stages, changes, settings.gates)
        labels = self._labels(nodes)
        for gate in settings.gates:
            if gate.kind is GateKind.HTTP:
                await self._prober.check(gate)
        online = self._fleet.online(nodes)
        previous = await self._store.last_named(wanted.name)
        if previous is not None and not self._sight.whole(caller, previous):
            previous = None
        rollout = Rollout(
            id=new_id("R", now_ms(self._clock), os.urandom(6)),
            name=wanted.name,
            target=wanted.target,
            kind=kinds.kind_name(changes.forward.spec),
            line=kinds.line(changes.forward.spec),
            strategy=_strategy_text(wanted.strategy),
            settings=replace(
                settings,
                can_roll_back=changes.back is not None,
                owner="" if caller.grants is None else caller.user or UNKNOWN_OWNER,
            ),
            stages=stages,
            pinned=pinned,
            created_at=self._clock.now(),
            created_by=caller.name,
            previous=None if previous is None else previous.id,
        )
        planned = Planned(
            rollout=rollout,
            offline=[node for node in nodes if node not in online],
            labels=labels,
            comparison=None if previous is None else compare(previous, rollout),
        )
        return planned, changes

    def _settings(self, wanted: Wanted, stages: Sequence[Stage]) -> Settings:
        deadline = wanted.stage_deadline_seconds
        if deadline is None:
            forward = wanted.changes.forward
            largest = max(len(stage.nodes) for stage in stages)
            turns = 1 if forward.concurrency is None else math.ceil(largest / forward.concurrency)
            tries = forward.retries + 1
            deadline = min(DEADLINE_MAX_SECONDS, forward.spec.timeout_seconds * turns * tries + SLACK_SECONDS)
        _check_range("stage_deadline", deadline, 1, DEADLINE_MAX_SECONDS, "--stage-deadline 10m")
        _check_range(
            "advance_interval", wanted.advance_interval_seconds, 0, INTERVAL_MAX_SECONDS, "--advance-interval 60"
        )
        return Settings(
            stage_deadline_seconds=deadline,
            max_failed=wanted.max_failed,
            max_unreachable=wanted.max_unreachable,
            gates=tuple(wanted.gates),
            on_failure=wanted.on_failure,
            auto_advance=wanted.auto_advance,
            advance_interval_seconds=wanted.advance_interval_seconds,
        )

    async def _changes(self, caller: Caller, wanted: Wanted, settings: Settings) -> Changes:
        """Checked, allowed to this caller, and completed."""
        forward = wanted.changes.forward
        forward = forward.with_spec(await self._checked(caller, wanted.target, forward))
        back = wanted.changes.back or undoing(forward)
        if back is not None:
            back = back.with_spec(await self._checked(caller, wanted.target, back))
        elif settings.on_failure is OnFailure.ROLLBACK:
            raise Invalid(
                "cannot roll back on failure: a command undoes nothing by itself, and no rollback command was given",
                element="rollback_command",
                hint="--rollback-cmd 'what undoes it', or --on-failure pause",
            )
        for gate in settings.gates:
            if gate.probe is not None:
                kind = kinds.kind_name(gate.probe)
                kinds.check_job(JobSpec(target=wanted.target, kind=kind, command=gate.probe))
                check_allowed(caller, gate.probe)
        return Changes(forward=forward, back=back)

    def _check_scope(self, caller: Caller, stages: Sequence[Stage], changes: Changes, settings: Settings) -> None:
        """The creator holds what each part needs on every node; a role's cap is for what is touched at once: the largest stage."""
        if caller.grants is None:
            return
        words = {WRITE: None} | dict.fromkeys(kinds.needed(changes.forward.spec))
        if changes.back is not None:
            words |= dict.fromkeys(kinds.needed(changes.back.spec))
        for gate in settings.gates:
            if gate.probe is not None:
                words |= dict.fromkeys(kinds.needed(gate.probe))
        self._sight.scope.require(
            caller, words, sorted(node for stage in stages for node in stage.nodes), "create this rollout"
        )
        largest = max(stages, key=lambda stage: len(stage.nodes))
        self._sight.scope.check_count(caller, words, largest.nodes, "create a rollout that works")

    async def _checked(self, caller: Caller, target: str, change: Change) -> TaskSpec:
        kind = kinds.kind_name(change.spec)
        spec = JobSpec(
            target=target, kind=kind, command=change.spec, concurrency=change.concurrency, retries=change.retries
        )
        kinds.check_job(spec)
        check_allowed(caller, change.spec)
        return (await self._complete(caller, spec)).command

    def _labels(self, nodes: Sequence[str]) -> dict[str, dict[str, int]]:
        """Labels whose values are few; a label that is another on every node tells nothing."""
        found: dict[str, Counter[str]] = {}
        for node in nodes:
            for key, value in self._fleet.get(node).labels.items():
                found.setdefault(key, Counter())[value] += 1
        shown = {
            key: dict(counts.most_common())
            for key, counts in sorted(found.items())
            if len(counts) <= LABEL_VALUES_SHOWN and not (len(counts) == len(nodes) > 1)
        }
        return shown


def undoing(forward: Change) -> Change | None:
    """What takes a change back without being told: files go to what each node itself had before."""
    spec = forward.spec
    if not isinstance(spec, FileSpec) or spec.dry_run or not spec.backup:
        return None
    if spec.op not in (FileOp.APPLY, FileOp.COPY, FileOp.DELETE):
        return None
    return Change(
        spec=FileSpec(
            op=FileOp.ROLLBACK,
            dest=spec.dest,
            notify=spec.notify,
            timeout_seconds=spec.timeout_seconds,
            grace_seconds=spec.grace_seconds,
            max_output_bytes=spec.max_output_bytes,
        ),
        concurrency=forward.concurrency,
    )


def _strategy_text(strategy: Strategy) -> str:
    return " ; ".join(strategy.values) if strategy.kind is StrategyKind.SELECTORS else str(strategy)


def _check_text(wanted: Wanted) -> None:
    name = wanted.name
    if not name or len(name) > NAME_CHARS or not name.isprintable():
        raise Invalid(
            f"cannot use {name[:40]!r} as a name: expected 1 to {NAME_CHARS} printable characters",
            element="name",
            hint="rollouts of one name are compared with each other: --name web-config",
        )
    if len(wanted.gates) > GATES_MAX:
        raise Invalid(f"cannot use {len(wanted.gates)} gates: at most {GATES_MAX}", element="gates")


def _check_range(element: str, value: float, low: float, high: float, example: str) -> None:
    if not low <= value <= high:
        raise Invalid(
            f"cannot use {value!r} as {element}: expected {low:g} to {high:g} seconds",
            element=element,
            hint=f"example: {example}",
        )
