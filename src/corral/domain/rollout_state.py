"""What a rollout is: its states and their table, its stages, limits and gates. Values only; rollout.py decides what comes next.

A rollout brings one change to a pinned set of nodes, stage by stage. Going forward, stages follow each other and each node is in
exactly one. Going back, stages are made while the rollback goes on, from the nodes that were touched. A stage is one job.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from corral.domain.errors import Invalid, WrongState
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.job import CommandSpec


class RolloutState(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"


_S: Final = RolloutState
TRANSITIONS: Final[Mapping[RolloutState, frozenset[RolloutState]]] = {
    _S.CREATED: frozenset({_S.RUNNING, _S.PAUSED, _S.FAILED, _S.ROLLING_BACK}),
    _S.RUNNING: frozenset({_S.PAUSED, _S.SUCCEEDED, _S.FAILED, _S.ROLLING_BACK}),
    _S.PAUSED: frozenset({_S.RUNNING, _S.SUCCEEDED, _S.FAILED, _S.ROLLING_BACK}),
    _S.SUCCEEDED: frozenset({_S.ROLLING_BACK}),
    _S.FAILED: frozenset({_S.ROLLING_BACK}),
    _S.ROLLING_BACK: frozenset({_S.ROLLED_BACK, _S.FAILED}),
    _S.ROLLED_BACK: frozenset(),
}
"""From → allowed next. `failed` after a rollback stays failed: rollout_control refuses a second one."""

OPEN: Final = frozenset({_S.CREATED, _S.RUNNING, _S.PAUSED, _S.ROLLING_BACK})
TERMINAL: Final = frozenset(RolloutState) - OPEN


class Hold(StrEnum):
    """Why a rollout is paused."""

    NONE = ""
    ASKED = "asked"
    ADVANCE = "advance"
    FAILED = "failed"


class GateState(StrEnum):
    """Of a whole stage: nothing to judge yet, being judged, judged."""

    PENDING = "pending"
    CHECKING = "checking"
    PASSED = "passed"
    FAILED = "failed"


class Direction(StrEnum):
    FORWARD = "forward"
    BACK = "back"


class OnFailure(StrEnum):
    PAUSE = "pause"
    ROLLBACK = "rollback"


class GateKind(StrEnum):
    EXIT = "exit"
    ONLINE = "online"
    COMMAND = "command"
    TASK = "task"
    HTTP = "http"


_LIMIT: Final = re.compile(r"(\d{1,6})(?:\.(\d{1,3}))?(%?)\Z")


@dataclass(frozen=True, kw_only=True)
class Limit:
    """How many of a set may go wrong: a number, or a share of the set (rounded down)."""

    number: float = 0.0
    percent: bool = False

    def of(self, size: int) -> int:
        return math.floor(size * self.number / 100 + 1e-9) if self.percent else int(self.number)

    def __str__(self) -> str:
        return f"{self.number:g}%" if self.percent else f"{self.number:g}"


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """A limit for each stage and one for the rollout as a whole. Written `STAGE,WHOLE`; one alone holds for both."""

    stage: Limit = field(default_factory=Limit)
    whole: Limit = field(default_factory=Limit)

    def __str__(self) -> str:
        return str(self.stage) if self.stage == self.whole else f"{self.stage},{self.whole}"


def parse_tolerance(text: str, *, element: str) -> Tolerance:
    """`2`, `10%`, `10%,3` → Tolerance; raises Invalid."""
    parts = [part.strip() for part in text.split(",")]
    limits = []
    for part in parts:
        match = _LIMIT.match(part)
        percent = match is not None and match[3] == "%"
        if match is None or (match[2] and not percent) or (percent and float(part[:-1]) > 100):
            raise Invalid(
                f"cannot use {text[:40]!r} as {element}: expected a number of nodes or a share, for each stage and, "
                "after a comma, for the whole rollout",
                element=element,
                hint="for example 2, 10% or 10%,3",
            )
        limits.append(Limit(number=float(part.rstrip("%")), percent=percent))
    if len(limits) > 2:
        raise Invalid(f"cannot use {text[:40]!r} as {element}: at most two limits", element=element, hint="10%,3")
    return Tolerance(stage=limits[0], whole=limits[-1])


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What must hold before the next stage may start. That tasks stay within the tolerance (`exit`) always must.

    `online`: the stage's nodes are. `command`: a probe that must succeed on them; `task`: a task of any kind, a plugin's too, that
    must. `http`: the server gets an answer from `url`, 2xx or the status `expect`.
    """

    kind: GateKind
    argv: tuple[str, ...] = ()
    shell: str | None = None
    task: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    connection: str | None = None
    url: str = ""
    expect: int | None = None
    timeout_seconds: float = 10.0
    attempts: int = 3
    every_seconds: float = 2.0

    @property
    def probe(self) -> CommandSpec | ExecutorSpec | None:
        """What is run on the nodes of the stage to find out; None for a gate that needs nothing run."""
        if self.kind is GateKind.COMMAND:
            return CommandSpec(argv=self.argv, shell=self.shell, timeout_seconds=self.timeout_seconds)
        if self.kind is not GateKind.TASK:
            return None
        return ExecutorSpec(
            kind=self.task, params=self.params, connection=self.connection, timeout_seconds=self.timeout_seconds
        )

    def __str__(self) -> str:
        if self.kind is GateKind.TASK:
            return f"task {self.task}"
        if self.kind is GateKind.COMMAND:
            return f"command {self.shell if self.shell is not None else ' '.join(self.argv)!r}"
        return f"http {self.url}" if self.kind is GateKind.HTTP else self.kind.value


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a rollout goes on, stops and goes back; fixed at its creation, but for `can_roll_back`."""

    stage_deadline_seconds: float
    max_failed: Tolerance = field(default_factory=Tolerance)
    max_unreachable: Tolerance = field(default_factory=Tolerance)
    gates: tuple[Gate, ...] = ()
    on_failure: OnFailure = OnFailure.PAUSE
    auto_advance: bool = False
    advance_interval_seconds: float = 0.0
    can_roll_back: bool = False
    owner: str = ""
    """The id of the user whose grants must still cover each stage when it starts; empty: its creator had no grants that limit him."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Some of the nodes, touched together by one job. `round` counts how often its gate was opened again (resume).

    `checked_at`: since when its gates are asked.
    `cut`: it ended while tasks were open; those are being cancelled. `why` says what a failed gate failed of.
    """

    name: str
    nodes: tuple[str, ...]
    job: str | None = None
    started_at: datetime | None = None
    deadline_at: datetime | None = None
    checked_at: datetime | None = None
    ended_at: datetime | None = None
    gate: GateState = GateState.PENDING
    why: str = ""
    round: int = 1
    cut: bool = False


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """The state of one rollout. `approved` is the highest stage (from 0) that may start without auto-advance.

    `back` are the stages of the rollback, planned one after the other. `line` is the change in one line for people.
    """

    id: str
    name: str
    target: str
    kind: str
    line: str
    strategy: str
    settings: Settings
    stages: tuple[Stage, ...]
    pinned: str
    created_at: datetime
    created_by: str
    state: RolloutState = RolloutState.CREATED
    hold: Hold = Hold.NONE
    reason: str = ""
    approved: int = 0
    back: tuple[Stage, ...] = ()
    rollback_asked_at: datetime | None = None
    finished_at: datetime | None = None
    previous: str | None = None
    resource_version: int = 1

    @property
    def current(self) -> int:
        """The first stage (from 0) whose gate has not passed; the number of stages when all have."""
        return next((i for i, stage in enumerate(self.stages) if stage.gate is not GateState.PASSED), len(self.stages))

    @property
    def started(self) -> int:
        """How many stages have started."""
        return sum(stage.job is not None for stage in self.stages)

    @property
    def nodes(self) -> list[str]:
        return sorted(node for stage in self.stages for node in stage.nodes)


def moved(rollout: Rollout, new: RolloutState, *, reason: str = "") -> Rollout:
    """In state `new`; raises WrongState naming both when the table does not allow it."""
    if new not in TRANSITIONS[rollout.state]:
        raise WrongState(
            f"cannot move rollout {rollout.id!r} from {rollout.state.value!r} to {new.value!r}",
            element="state",
            hint=f"corral why {rollout.id}",
        )
    return replace(rollout, state=new, hold=Hold.NONE, reason=reason, finished_at=None)


def operation(rollout: str, direction: Direction, index: int) -> str:
    """The name under which a stage's job is submitted: at most one job ever has it. Stages count from 1 here."""
    return f"{rollout}/{index + 1}/{direction.value}"


def gate_operation(rollout: str, index: int, gate: int, round: int) -> str:
    """The same for the probe job of a stage's gate, in one round."""
    return f"{rollout}/{index + 1}/gate-{gate + 1}/{round}"


def counted(nodes: int) -> str:
    """`1 node`, `2 nodes`."""
    return f"{nodes} node" if nodes == 1 else f"{nodes} nodes"


def named(nodes: Sequence[str], most: int = 5) -> str:
    """`web-1, web-2 and 3 more`."""
    text = ", ".join(nodes[:most])
    return f"{text} and {len(nodes) - most} more" if len(nodes) > most else text
