"""What the rollouts routes take and give, as JSON. Stages count from 1; times are RFC 3339 in UTC; durations are seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from corral.domain.errors import Invalid
from corral.domain.job import CommandSpec
from corral.domain.rollout_plan import Strategy, StrategyKind
from corral.domain.rollout_state import (
    Gate,
    GateKind,
    OnFailure,
    Rollout,
    Tolerance,
    parse_tolerance,
)
from corral.server.application.ports.rollouts import Change, Changes
from corral.server.application.rollouts.compare import Comparison
from corral.server.application.rollouts.create import Planned, Wanted
from corral.server.application.rollouts.explain import RolloutExplanation
from corral.server.application.rollouts.listing import RolloutView, StageView
from corral.server.interface.rest.jobs_types import FileBody, SubmitBody, iso


class ChangeBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What each stage does on its nodes: the parts of a job. `kind` is exec (absent) or file."""

    kind: str | None = None
    file: FileBody | None = None
    argv: list[str] | None = None
    shell: str | None = None
    script: str | None = None
    interpreter: str | None = None
    timeout: float | None = None
    grace: float | None = None
    concurrency: int | None = None
    retries: int | None = None
    env: dict[str, str] | None = None
    cwd: str | None = None
    user: str | None = None
    stdin: bytes | None = None
    max_output: int | None = None

    def change(self, *, timeout: float | None = None) -> Change:
        given = {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}
        if timeout is not None:
            given.setdefault("timeout", timeout)
        spec = msgspec.convert({"target": "all", **given}, SubmitBody).spec()
        return Change(spec=spec.command, concurrency=spec.concurrency, retries=spec.retries)


class StrategyBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """percentage: cumulative shares of all nodes. count: nodes per stage, 0 = all the rest. groups: one label. selectors: one a stage."""

    kind: StrategyKind
    values: list[str | int | float]

    def strategy(self) -> Strategy:
        if not self.values:
            raise Invalid("cannot make stages of nothing: `values` is empty", element="strategy")
        return Strategy(kind=self.kind, values=tuple(f"{v:g}" if isinstance(v, float) else str(v) for v in self.values))


class GateBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """exit and online need nothing more; command takes argv or shell; http takes url, and `expect` for another status than 2xx.

    task takes the name of a kind and its params: that task has to succeed on the stage's nodes. `connection` is its connection.
    """

    kind: GateKind
    argv: list[str] | None = None
    shell: str | None = None
    task: str | None = None
    params: dict[str, Any] | None = None
    connection: str | None = None
    url: str | None = None
    expect: int | None = None
    timeout: float | None = None
    attempts: int | None = None
    every: float | None = None

    def gate(self) -> Gate:
        wanted = {GateKind.COMMAND: "argv or shell", GateKind.TASK: "task and params", GateKind.HTTP: "url"}.get(
            self.kind
        )
        is_command = (self.argv is None) != (self.shell is None)
        of_task = (self.task, self.params, self.connection)
        plain = self.argv is None and self.shell is None and self.url is None
        good = {
            GateKind.COMMAND: is_command and self.url is None and not any(of_task),
            GateKind.TASK: bool(self.task) and plain,
            GateKind.HTTP: bool(self.url) and not any(of_task),
        }
        if not good.get(self.kind, plain and not any(of_task)):
            raise Invalid(
                f"cannot use this {self.kind.value} gate: expected {wanted or 'nothing but its kind'}",
                element="gates",
                hint='{"kind": "command", "shell": "systemctl is-active app"} or {"kind": "http", "url": "https://…"}',
            )
        timeout = 10.0 if self.timeout is None else self.timeout
        attempts = 3 if self.attempts is None else self.attempts
        every = 2.0 if self.every is None else self.every
        if not (0.1 <= timeout <= 3600 and 1 <= attempts <= 100 and 0 <= every <= 600):
            raise Invalid(
                "cannot use this gate: expected a timeout of 0.1 to 3600 s, 1 to 100 attempts, 0 to 600 s between them",
                element="gates",
            )
        return Gate(
            kind=self.kind,
            argv=tuple(self.argv or ()),
            shell=self.shell,
            task=self.task or "",
            params=self.params or {},
            connection=self.connection,
            url=self.url or "",
            expect=self.expect,
            timeout_seconds=timeout,
            attempts=attempts,
            every_seconds=every,
        )


class RollbackCommandBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What undoes the change on a node: exactly one of argv, shell."""

    argv: list[str] | None = None
    shell: str | None = None
    timeout: float | None = None

    def spec(self) -> CommandSpec:
        timeout = CommandSpec().timeout_seconds if self.timeout is None else self.timeout
        return CommandSpec(argv=tuple(self.argv or ()), shell=self.shell, timeout_seconds=timeout)


class CreateBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`max_failed`, `max_unreachable`: a number or a share for each stage and, after a comma, for the whole rollout."""

    name: str
    target: str
    strategy: StrategyBody
    change: ChangeBody
    timeout: float | None = None
    stage_deadline: float | None = None
    max_failed: str | int | None = None
    max_unreachable: str | int | None = None
    gates: list[GateBody] = []  # msgspec copies struct defaults
    on_failure: OnFailure = OnFailure.PAUSE
    auto_advance: bool = False
    advance_interval: float = 0.0
    rollback_command: RollbackCommandBody | None = None
    pinned: str | None = None
    dry_run: bool = False

    def wanted(self) -> Wanted:
        back = None if self.rollback_command is None else Change(spec=self.rollback_command.spec())
        return Wanted(
            name=self.name,
            target=self.target,
            strategy=self.strategy.strategy(),
            changes=Changes(forward=self.change.change(timeout=self.timeout), back=back),
            stage_deadline_seconds=self.stage_deadline,
            max_failed=_tolerance(self.max_failed, "max_failed"),
            max_unreachable=_tolerance(self.max_unreachable, "max_unreachable"),
            gates=[gate.gate() for gate in self.gates],
            on_failure=self.on_failure,
            auto_advance=self.auto_advance,
            advance_interval_seconds=self.advance_interval,
            pinned=self.pinned,
        )


def _tolerance(given: str | int | None, element: str) -> Tolerance:
    return Tolerance() if given is None else parse_tolerance(str(given), element=element)


class RollbackBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    command: RollbackCommandBody | None = None


class StageJson(msgspec.Struct, kw_only=True):
    """One stage. `nodes` are ids; `counts`: task state → nodes, empty until it starts; `gate`: pending, checking, passed, failed."""

    index: int
    name: str
    nodes: list[str]
    counts: dict[str, int]
    gate: str
    why: str
    job: str | None
    started_at: str | None
    deadline_at: str | None
    ended_at: str | None


class ComparisonJson(msgspec.Struct, kw_only=True):
    previous: str
    added: list[str]
    removed: list[str]
    lines: list[str]


class RolloutJson(msgspec.Struct, kw_only=True):
    """A rollout. `stage` is the stage it is at, 0 before the first has started; `rollback` are the stages of its rollback.

    A planned one (dry_run) has no id. `offline`, `labels` and `comparison` come with the answer to its creation only.
    """

    rollout: str
    name: str
    state: str
    stage: int
    stages: list[StageJson]
    pinned: str
    rollback: list[StageJson]
    hold: str
    reason: str
    target: str
    kind: str
    change: str
    strategy: str
    nodes: int
    stage_deadline: float
    max_failed: str
    max_unreachable: str
    gates: list[str]
    on_failure: str
    auto_advance: bool
    advance_interval: float
    can_roll_back: bool
    previous: str | None
    created_at: str | None
    created_by: str
    finished_at: str | None
    resource_version: int
    offline: list[str] | msgspec.UnsetType = msgspec.UNSET
    labels: dict[str, dict[str, int]] | msgspec.UnsetType = msgspec.UNSET
    comparison: ComparisonJson | msgspec.UnsetType | None = msgspec.UNSET


class RolloutWhyJson(msgspec.Struct, kw_only=True):
    rollout: str
    state: str
    lines: list[str]


def stage_json(view: StageView) -> StageJson:
    stage = view.stage
    return StageJson(
        index=view.index,
        name=stage.name,
        nodes=list(stage.nodes),
        counts=dict(view.counts),
        gate=stage.gate.value,
        why=stage.why,
        job=view.job,
        started_at=iso(stage.started_at),
        deadline_at=iso(stage.deadline_at),
        ended_at=iso(stage.ended_at),
    )


def rollout_json(rollout: Rollout, stages: Sequence[StageView], back: Sequence[StageView], **more: Any) -> RolloutJson:
    settings = rollout.settings
    return RolloutJson(
        rollout=rollout.id,
        name=rollout.name,
        state=rollout.state.value,
        stage=rollout.started,
        stages=[stage_json(view) for view in stages],
        pinned=rollout.pinned,
        rollback=[stage_json(view) for view in back],
        hold=rollout.hold.value,
        reason=rollout.reason,
        target=rollout.target,
        kind=rollout.kind,
        change=rollout.line,
        strategy=rollout.strategy,
        nodes=sum(len(stage.nodes) for stage in rollout.stages),
        stage_deadline=settings.stage_deadline_seconds,
        max_failed=str(settings.max_failed),
        max_unreachable=str(settings.max_unreachable),
        gates=[str(gate) for gate in settings.gates],
        on_failure=settings.on_failure.value,
        auto_advance=settings.auto_advance,
        advance_interval=settings.advance_interval_seconds,
        can_roll_back=settings.can_roll_back,
        previous=rollout.previous,
        created_at=iso(rollout.created_at),
        created_by=rollout.created_by,
        finished_at=iso(rollout.finished_at),
        resource_version=rollout.resource_version,
        **more,
    )


def view_json(view: RolloutView) -> RolloutJson:
    return rollout_json(view.rollout, view.stages, view.back)


def plain_json(rollout: Rollout, **more: Any) -> RolloutJson:
    """Without counts: in lists, and before anything has started."""
    stages = [StageView(index=i + 1, stage=stage, job=stage.job) for i, stage in enumerate(rollout.stages)]
    back = [StageView(index=i + 1, stage=stage, job=stage.job) for i, stage in enumerate(rollout.back)]
    return rollout_json(rollout, stages, back, **more)


def planned_json(planned: Planned, *, dry_run: bool) -> RolloutJson:
    found = plain_json(
        planned.rollout,
        offline=list(planned.offline),
        labels={key: dict(counts) for key, counts in planned.labels.items()},
        comparison=_comparison(planned.comparison),
    )
    if dry_run:
        found.rollout, found.state = "", "planned"
    return found


def _comparison(found: Comparison | None) -> ComparisonJson | None:
    if found is None:
        return None
    return ComparisonJson(
        previous=found.previous, added=list(found.added), removed=list(found.removed), lines=list(found.lines)
    )


def why_json(found: RolloutExplanation) -> RolloutWhyJson:
    return RolloutWhyJson(rollout=found.rollout, state=found.state, lines=list(found.lines))
