"""Safety of the decision core: whatever nodes, people and crashes do in whatever order, what the module promises holds.

The world below performs what `decide` says as the driver does: a job is submitted under its name, then recorded; a crash may come
between the two, or after any record. People act on what is recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corral.domain.errors import CorralError
from corral.domain.rollout import decide, needs_attention
from corral.domain.rollout_actions import Cancel, PlanBack, Probe, Start, StartGate, apply
from corral.domain.rollout_control import abort, advance, pause, resume, roll_back
from corral.domain.rollout_facts import Facts, JobFact, ProbeFact, TaskFact
from corral.domain.rollout_state import (
    Direction,
    Gate,
    GateKind,
    GateState,
    Limit,
    OnFailure,
    Rollout,
    RolloutState,
    Settings,
    Stage,
    Tolerance,
    gate_operation,
    operation,
)
from corral.domain.task import TaskState

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DEADLINE = 100.0
R = "R0000000000000000001"


class Crash(Exception):
    """The driver died here."""


@dataclass
class World:
    rollout: Rollout
    now: datetime = NOW
    jobs: dict[str, JobFact] = field(default_factory=dict)
    probes: dict[tuple[int, int, int], ProbeFact] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    crash_in: int = -1
    starts: list[tuple[Direction, int]] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    advanced: int = 0

    def facts(self) -> Facts:
        jobs = {
            name: replace(job, tasks={n: replace(t, online=n not in self.away) for n, t in job.tasks.items()})
            for name, job in self.jobs.items()
        }
        return Facts(jobs=jobs, probes=self.probes, offline=frozenset(self.away))

    def step(self) -> None:
        self.crash_in -= 1
        if self.crash_in == 0:
            raise Crash

    def tick(self) -> None:
        """What the driver does in one round; at most one stage can begin and end in it."""
        for _ in range(30):
            actions = decide(self.rollout, self.facts(), self.now)
            progress = False
            for action in actions:
                progress |= self.perform(action)
            if not progress:
                return
        raise AssertionError(f"decide never comes to rest: {actions}")

    def perform(self, action) -> bool:
        if isinstance(action, Start):
            self.check_start(action)
            name = operation(R, action.direction, action.index)
            self.jobs.setdefault(name, self.job(name, action.nodes))
            self.starts.append((action.direction, action.index))
        elif isinstance(action, StartGate):
            assert self.rollout.state is RolloutState.RUNNING
            name = gate_operation(R, action.index, action.gate, action.round)
            self.jobs.setdefault(name, self.job(name, action.nodes))
        elif isinstance(action, Probe):
            assert self.rollout.state is RolloutState.RUNNING
            return False
        elif isinstance(action, Cancel):
            self.cancel(action)
        else:
            if isinstance(action, PlanBack) and action.name != "what failed":
                self.check_failed_first()
            self.step()
            self.rollout = apply(self.rollout, action, self.now)
        self.step()
        return True

    def job(self, name, nodes) -> JobFact:
        return JobFact(
            id=f"J{len(self.jobs)}", created_at=self.now, tasks={n: TaskFact(TaskState.QUEUED) for n in nodes}
        )

    def cancel(self, action) -> None:
        for name, job in self.jobs.items():
            if job.id == action.job:
                tasks = dict(job.tasks)
                for node in action.nodes or job.open:
                    if tasks[node].open:
                        gone = node in self.away and tasks[node].state is TaskState.QUEUED
                        state = TaskState.CANCELLED if gone else tasks[node].state
                        tasks[node] = replace(tasks[node], cancel_asked=True, state=state)
                self.jobs[name] = replace(job, tasks=tasks)

    def report(self, pick: int, outcome: int) -> None:
        """One open task moves; nodes that are away say nothing."""
        open_ = [(name, n) for name, job in sorted(self.jobs.items()) for n in sorted(job.open) if n not in self.away]
        if not open_:
            return
        name, node = open_[pick % len(open_)]
        job = self.jobs[name]
        task = job.tasks[node]
        states = [TaskState.SUCCEEDED, TaskState.SUCCEEDED, TaskState.FAILED, TaskState.RUNNING, TaskState.TIMED_OUT]
        if task.cancel_asked:
            states = [TaskState.CANCELLED, TaskState.SUCCEEDED]
        state = states[outcome % len(states)]
        started = task.started or task.state is TaskState.RUNNING or state is not TaskState.CANCELLED
        if started and "/forward" in name:
            self.touched.add(node)
        self.jobs[name] = replace(job, tasks={**job.tasks, node: replace(task, state=state, started=started)})

    def check_failed_first(self) -> None:
        planned = {node for stage in self.rollout.back for node in stage.nodes}
        for name, job in self.jobs.items():
            for node, task in job.tasks.items() if "/forward" in name else ():
                if node not in planned and task.touched:
                    assert task.state is TaskState.SUCCEEDED, "those that failed go back first"

    def check_start(self, action: Start) -> None:
        stages = self.rollout.stages
        if action.direction is Direction.FORWARD:
            assert self.rollout.state is RolloutState.RUNNING, "a paused rollout starts nothing"
            assert action.nodes == stages[action.index].nodes
            for stage in stages[: action.index]:
                assert stage.gate is GateState.PASSED, "stage k+1 before the gate of stage k"
                assert not stage.cut
            if not self.rollout.settings.auto_advance:
                assert action.index <= self.advanced, "a stage nobody let start"
        else:
            assert self.rollout.state is RolloutState.ROLLING_BACK
            assert len(action.nodes) <= max(len(stage.nodes) for stage in stages), "more than a stage at once"
        for name, job in self.jobs.items():
            if f"/{action.direction.value}" in name and name != operation(R, action.direction, action.index):
                assert not set(job.tasks) & set(action.nodes), "a node twice in one direction"
        busy = [
            (i, n)
            for i, stage in enumerate(stages)
            if (job := self.jobs.get(operation(R, Direction.FORWARD, i))) is not None and i != action.index
            for n in job.open
            if not job.tasks[n].cancel_asked
        ]
        if action.direction is Direction.FORWARD:
            assert not busy, "two stages at once"


def tolerance(failed: int) -> Tolerance:
    return Tolerance(stage=Limit(number=failed), whole=Limit(number=failed))


@st.composite
def rollouts(draw) -> Rollout:
    sizes = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    names = iter(range(1, 100))
    stages = tuple(
        Stage(name=str(i), nodes=tuple(f"n{next(names)}" for _ in range(size))) for i, size in enumerate(sizes)
    )
    gates = draw(st.sampled_from([(), ("online",), ("command",), ("http", "command"), ("exit", "online", "http")]))
    chosen = Settings(
        stage_deadline_seconds=DEADLINE,
        max_failed=tolerance(draw(st.sampled_from([0, 1, 9]))),
        max_unreachable=tolerance(draw(st.integers(0, 2))),
        gates=tuple(Gate(kind=GateKind(word), argv=("true",), url="http://x/") for word in gates),
        on_failure=draw(st.sampled_from(OnFailure)),
        auto_advance=draw(st.booleans()),
        advance_interval_seconds=draw(st.sampled_from([0.0, 30.0])),
        can_roll_back=draw(st.booleans()),
    )
    return Rollout(
        id=R, name="x", target="all", kind="exec", line="true", strategy="count", settings=chosen, stages=stages,
        pinned="", created_at=NOW, created_by="ann",
    )  # fmt: skip


EVENTS = st.one_of(
    st.tuples(st.just("report"), st.integers(0, 20), st.integers(0, 9)),
    st.tuples(st.just("report"), st.integers(0, 20), st.integers(0, 1)),
    st.tuples(st.just("probe"), st.booleans(), st.just(0)),
    st.tuples(st.just("away"), st.integers(1, 8), st.just(0)),
    st.tuples(st.just("home"), st.integers(1, 8), st.just(0)),
    st.tuples(st.just("wait"), st.sampled_from([1, 16, 31, 101]), st.just(0)),
    st.tuples(st.just("crash"), st.integers(1, 4), st.just(0)),
    st.tuples(st.sampled_from(["pause", "advance", "advance", "resume", "rollback", "abort"]), st.just(0), st.just(0)),
)
CONTROL = {"abort": abort, "pause": pause, "advance": advance, "resume": resume, "rollback": roll_back}


def play(world: World, event: tuple[str, int, int]) -> None:
    word, first, second = event
    if word == "report":
        world.report(first, second)
    elif word == "probe":
        for action in decide(world.rollout, world.facts(), world.now):
            if isinstance(action, Probe):
                world.probes[(action.index, action.gate, action.round)] = ProbeFact(bool(first), "no")
    elif word == "away":
        world.away.add(f"n{first}")
    elif word == "home":
        world.away.discard(f"n{first}")
    elif word == "wait":
        world.now += timedelta(seconds=first)
    elif word == "crash":
        world.crash_in = first
    else:
        before = world.rollout
        try:
            world.rollout = CONTROL[word](world.rollout, world.now)
            world.advanced += word == "advance"
        except CorralError:
            world.rollout = before
    try:
        world.tick()
    except Crash:
        world.crash_in = -1
    deadlines(world)


def deadlines(world: World) -> None:
    """After a tick no stage that is out is beyond its deadline."""
    rollout = world.rollout
    if rollout.state in (RolloutState.RUNNING, RolloutState.PAUSED) and world.crash_in < 0:
        try:
            world.tick()
        except Crash:  # pragma: no cover
            raise AssertionError from None
        for stage in world.rollout.stages:
            if stage.job and stage.ended_at is None:
                assert stage.deadline_at is not None and world.now < stage.deadline_at, (
                    "the deadline ends a stage, always"
                )


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rollout=rollouts(), events=st.lists(EVENTS, max_size=60))
def test_whatever_happens_no_promise_is_broken(rollout: Rollout, events: list[tuple[str, int, int]]) -> None:
    world = World(rollout)
    for event in events:
        play(world, event)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rollout=rollouts(), events=st.lists(EVENTS, max_size=40))
def test_a_rollback_reaches_every_touched_node_once_and_what_failed_first(
    rollout: Rollout, events: list[tuple[str, int, int]]
) -> None:
    world = World(replace(rollout, settings=replace(rollout.settings, can_roll_back=True)))
    for event in events:
        play(world, event)
    world.crash_in = -1
    if not world.rollout.back and world.rollout.state not in (RolloutState.ROLLED_BACK, RolloutState.ROLLING_BACK):
        world.rollout = roll_back(world.rollout, world.now)
    for _ in range(60):
        world.tick()
        for pick in range(8):
            world.report(pick, 0)
        world.now += timedelta(seconds=40)
    assert world.rollout.state in (RolloutState.ROLLED_BACK, RolloutState.FAILED)
    assert not needs_attention(world.rollout)
    back = [node for stage in world.rollout.back for node in stage.nodes]
    assert len(back) == len(set(back))
    assert world.touched <= set(back), "a touched node was not taken back"


@settings(max_examples=150, deadline=None)
@given(rollout=rollouts(), events=st.lists(EVENTS, max_size=40))
def test_a_rollout_whose_nodes_all_do_well_comes_to_its_end(
    rollout: Rollout, events: list[tuple[str, int, int]]
) -> None:
    """Nothing people did before can leave it stuck: with advance and resume it always ends."""
    world = World(rollout)
    for event in events:
        play(world, event)
    world.crash_in = -1
    world.away.clear()
    for _ in range(80):
        world.tick()
        for pick in range(12):
            world.report(pick, 0)
        play(world, ("probe", 1, 0))
        for name, job in world.jobs.items():  # what `exec retry` does after a failure
            world.jobs[name] = replace(
                job,
                tasks={n: t if t.open else TaskFact(TaskState.SUCCEEDED, started=True) for n, t in job.tasks.items()},
            )
        for verb in (advance, resume):
            try:
                world.rollout = verb(world.rollout, world.now)
                world.advanced += verb is advance
            except CorralError:
                continue
        world.now += timedelta(seconds=5)
    assert world.rollout.state not in (RolloutState.RUNNING, RolloutState.CREATED, RolloutState.ROLLING_BACK)
    if world.rollout.state is RolloutState.PAUSED:
        raise AssertionError(f"stuck: {world.rollout.reason}")
