"""The table of states, and the corners of the decision that random schedules seldom reach."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from corral.domain.errors import WrongState
from corral.domain.rollout import TRANSITIONS, decide, plan_back
from corral.domain.rollout_actions import Cancel, EndStage, Finish, Start, StartGate, apply
from corral.domain.rollout_control import abort, advance, pause, resume, roll_back
from corral.domain.rollout_facts import Facts, JobFact, TaskFact
from corral.domain.rollout_state import (
    TERMINAL,
    Direction,
    Gate,
    GateKind,
    GateState,
    Rollout,
    RolloutState,
    Settings,
    Stage,
    moved,
    operation,
)
from corral.domain.task import TaskState

S = RolloutState
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DONE = TaskFact(TaskState.SUCCEEDED, started=True)
BAD = TaskFact(TaskState.FAILED, started=True)


def rollout(*sizes, kind="exec", **fields):
    names = iter(range(1, 100))
    stages = tuple(Stage(name=str(i), nodes=tuple(f"n{next(names)}" for _ in range(n))) for i, n in enumerate(sizes))
    return Rollout(
        id="R1", name="x", target="all", kind=kind, line="x", strategy="count",
        settings=Settings(stage_deadline_seconds=100, can_roll_back=True), stages=stages, pinned="", created_at=NOW,
        created_by="ann", **fields,
    )  # fmt: skip


def facts(**jobs):
    """stage number → {node: TaskFact}"""
    made = {
        operation("R1", Direction.FORWARD, int(key[1:]) - 1): JobFact(id=f"J{key}", created_at=NOW, tasks=tasks)
        for key, tasks in jobs.items()
    }
    return Facts(jobs=made)


def passed(made, *numbers):
    stages = [
        replace(stage, gate=GateState.PASSED, job=f"Js{i + 1}", started_at=NOW, ended_at=NOW)
        if i + 1 in numbers
        else stage
        for i, stage in enumerate(made.stages)
    ]
    return replace(made, stages=tuple(stages))


def test_every_state_has_its_row_and_ends_where_the_issue_says():
    assert set(TRANSITIONS) == set(S)
    assert {S.SUCCEEDED, S.FAILED, S.ROLLED_BACK} == TERMINAL
    assert TRANSITIONS[S.ROLLED_BACK] == frozenset()
    assert TRANSITIONS[S.ROLLING_BACK] == {S.ROLLED_BACK, S.FAILED}


@pytest.mark.parametrize("old", S)
@pytest.mark.parametrize("new", S)
def test_a_move_the_table_does_not_have_names_both_states(old, new):
    made = replace(rollout(1), state=old)
    if new in TRANSITIONS[old]:
        assert moved(made, new).state is new
        return
    with pytest.raises(WrongState) as caught:
        moved(made, new)
    assert old.value in caught.value.message
    assert new.value in caught.value.message


def test_what_failed_goes_back_first_and_never_more_than_the_largest_stage_at_once():
    made = passed(rollout(2, 2, 2, state=S.ROLLING_BACK), 1, 2, 3)
    world = facts(s1={"n1": BAD, "n2": BAD}, s2={"n3": BAD, "n4": DONE}, s3={"n5": DONE, "n6": DONE})
    order = []
    while (step := plan_back(made, world)) is not None:
        order.append(step.nodes)
        made = replace(made, back=(*made.back, Stage(name=step.name, nodes=step.nodes)))
    assert order == [("n1", "n2"), ("n3",), ("n5", "n6"), ("n4",)]


@pytest.mark.parametrize(
    ("task", "touched"),
    [
        (DONE, True),
        (BAD, True),
        (TaskFact(TaskState.REJECTED), False),
        (TaskFact(TaskState.EXPIRED), False),
        (TaskFact(TaskState.EXPIRED, started=True), True),
        (TaskFact(TaskState.CANCELLED), False),
        (TaskFact(TaskState.CANCELLED, started=True), True),
        (TaskFact(TaskState.LOST), True),
        (TaskFact(TaskState.INTERRUPTED, started=True), True),
        (TaskFact(TaskState.QUEUED), True),
        (TaskFact(TaskState.SUCCEEDED, started=True, changed=False), False),
        (TaskFact(TaskState.FAILED, started=True, changed=True), True),
    ],
)
def test_only_what_may_have_been_touched_goes_back(task, touched):
    found = plan_back(passed(rollout(1, state=S.ROLLING_BACK), 1), facts(s1={"n1": task}))
    assert (found is not None) is touched


def test_a_file_task_that_failed_before_it_looked_is_not_taken_back():
    made = passed(rollout(1, kind="file", state=S.ROLLING_BACK), 1)
    assert plan_back(made, facts(s1={"n1": BAD})) is None
    assert plan_back(made, facts(s1={"n1": TaskFact(TaskState.LOST)})) is not None


def test_a_stage_whose_job_is_gone_fails_and_all_its_nodes_count_as_touched():
    made = rollout(2, state=S.RUNNING)
    made = replace(made, stages=(replace(made.stages[0], job="J9", started_at=NOW),))
    (ended,) = decide(made, Facts(), NOW)
    assert ended == EndStage(Direction.FORWARD, 0, False, "its job J9 is gone")
    step = plan_back(replace(made, state=S.ROLLING_BACK), Facts())
    assert step is not None
    assert step.nodes == ("n1", "n2")


def test_a_rollback_in_vain_says_who_is_not_back():
    made = passed(rollout(1, state=S.ROLLING_BACK), 1)
    back = Stage(name="b", nodes=("n1",), job="J2", gate=GateState.FAILED, ended_at=NOW)
    made = replace(made, back=(back,), rollback_asked_at=NOW)
    world = Facts(
        jobs={
            **facts(s1={"n1": DONE}).jobs,
            operation("R1", Direction.BACK, 0): JobFact(id="J2", created_at=NOW, tasks={"n1": BAD}),
        }
    )
    assert decide(made, world, NOW) == [Finish(S.FAILED, "1 node not back: n1")]


def test_a_rollback_does_not_wait_for_ever_for_what_does_not_stop():
    made = rollout(1, state=S.ROLLING_BACK, rollback_asked_at=NOW)
    made = replace(made, stages=(replace(made.stages[0], job="J1", started_at=NOW),))
    world = facts(s1={"n1": TaskFact(TaskState.RUNNING, started=True, cancel_asked=True)})
    assert decide(made, world, NOW + timedelta(seconds=29)) == []
    (step,) = decide(made, world, NOW + timedelta(seconds=30))
    assert step.nodes == ("n1",)


def test_the_next_stage_waits_until_what_the_last_one_left_open_has_stopped():
    made = passed(rollout(1, 1, state=S.RUNNING, approved=1), 1)
    made = replace(made, stages=(replace(made.stages[0], cut=True), made.stages[1]))
    busy = facts(s1={"n1": TaskFact(TaskState.RUNNING, cancel_asked=True)})
    assert decide(made, busy, NOW + timedelta(seconds=5)) == []
    (tidied,) = decide(made, busy, NOW + timedelta(seconds=31))
    made = apply(made, tidied, NOW)
    assert decide(made, busy, NOW) == [Start(Direction.FORWARD, 1, ("n2",))]


def test_people_may_ask_twice():
    made = replace(rollout(1, 1), state=S.RUNNING)
    paused = pause(made, NOW)
    assert pause(paused, NOW) is paused
    running = resume(paused, NOW)
    assert resume(running, NOW) is running
    back = roll_back(running, NOW)
    assert roll_back(back, NOW) is back


@pytest.mark.parametrize("state", [S.SUCCEEDED, S.FAILED, S.ROLLED_BACK, S.ROLLING_BACK])
@pytest.mark.parametrize("verb", [pause, resume, advance])
def test_what_is_over_is_neither_paused_nor_resumed_nor_advanced(state, verb):
    with pytest.raises(WrongState, match=state.value):
        verb(replace(rollout(1), state=state), NOW)


def test_a_second_rollback_is_refused():
    made = replace(rollout(1), state=S.FAILED, back=(Stage(name="b", nodes=("n1",)),))
    with pytest.raises(WrongState, match="its rollback is over"):
        roll_back(made, NOW)
    with pytest.raises(WrongState):
        roll_back(replace(rollout(1), state=S.ROLLED_BACK), NOW)


def test_advance_while_it_waits_for_its_interval_goes_on_at_once():
    made = passed(rollout(1, 1, state=S.RUNNING), 1)
    auto = replace(made.settings, auto_advance=True, advance_interval_seconds=3600)
    made = replace(made, settings=auto)
    assert decide(made, facts(s1={"n1": DONE}), NOW) == []
    assert decide(advance(made, NOW), facts(s1={"n1": DONE}), NOW) == [Start(Direction.FORWARD, 1, ("n2",))]


@pytest.mark.parametrize("going", ["forward", "back", "aborted"])
def test_what_may_have_run_is_not_withdrawn_while_nodes_are_still_coming_back_to_a_new_server(going):
    """Withdrawn on the spot it would count as not touched, and a rollback would leave the new bytes on that node."""
    made = replace(rollout(3, state=S.RUNNING))
    made = replace(made, stages=(replace(made.stages[0], job="Js1", started_at=NOW, deadline_at=NOW + timedelta(100)),))
    made = {"forward": lambda: made, "back": lambda: roll_back(made, NOW), "aborted": lambda: abort(made, NOW)}[going]()
    here, away = TaskFact(TaskState.QUEUED), TaskFact(TaskState.QUEUED, online=False)
    seen = replace(facts(s1={"n1": BAD, "n2": here, "n3": away}), settling=True)
    late = NOW + timedelta(seconds=40)
    assert decide(made, seen, late) == [Cancel("Js1", ("n2",))]
    asked = replace(seen, jobs={k: replace(j, tasks={**j.tasks, "n2": BAD}) for k, j in seen.jobs.items()})
    assert decide(made, asked, late) == []
    (cancel,) = decide(made, replace(asked, settling=False), NOW)
    assert cancel in (Cancel("Js1", ("n3",)), Cancel("Js1", None))


def test_a_stage_that_waits_for_approval_has_no_deadline_and_begins_when_it_is_given():
    made = moved(rollout(2, 2), S.RUNNING)
    name = operation("R1", Direction.FORWARD, 0)
    waiting = JobFact(
        id="Js1", created_at=NOW, tasks=dict.fromkeys(("n1", "n2"), TaskFact(TaskState.QUEUED)), awaiting=True
    )
    assert decide(made, Facts(jobs={name: waiting}), NOW + timedelta(days=1)) == []
    at = NOW + timedelta(hours=5)
    given = replace(waiting, awaiting=False, approved_at=at)
    [adopt] = decide(made, Facts(jobs={name: given}), at)
    made = apply(made, adopt, at)
    assert made.stages[0].deadline_at == at + timedelta(seconds=100)
    assert decide(made, Facts(jobs={name: given}), at + timedelta(seconds=99)) == []


def test_a_stage_that_was_denied_has_failed():
    made = moved(rollout(2, 2), S.RUNNING)
    name = operation("R1", Direction.FORWARD, 0)
    denied = JobFact(id="Js1", created_at=NOW, tasks=dict.fromkeys(("n1", "n2"), TaskFact(TaskState.CANCELLED)))
    [adopt] = decide(made, Facts(jobs={name: denied}), NOW)
    [ended] = decide(apply(made, adopt, NOW), Facts(jobs={name: denied}), NOW)
    assert (type(ended), ended.passed) == (EndStage, False)
    assert "2 of 2 nodes failed" in ended.why


def test_a_gate_may_be_a_task_of_any_kind_and_its_probe_says_so():
    gate = Gate(kind=GateKind.TASK, task="http", params={"method": "GET", "url": "http://x"}, timeout_seconds=7)
    assert (gate.probe.kind, gate.probe.params["url"], gate.probe.timeout_seconds) == ("http", "http://x", 7)
    assert str(gate) == "task http"
    assert Gate(kind=GateKind.COMMAND, shell="true").probe.shell == "true"
    assert Gate(kind=GateKind.ONLINE).probe is None
    made = replace(moved(rollout(1), S.RUNNING), settings=Settings(stage_deadline_seconds=100, gates=(gate,)))
    name = operation("R1", Direction.FORWARD, 0)
    done = Facts(jobs={name: JobFact(id="Js1", created_at=NOW, tasks={"n1": DONE})})
    for _ in range(2):
        [action] = decide(made, done, NOW)
        made = apply(made, action, NOW)
    [probe] = decide(made, done, NOW)
    assert (type(probe), probe.nodes) == (StartGate, ("n1",))
