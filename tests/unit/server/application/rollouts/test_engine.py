import pytest

from corral.domain.errors import Conflict, CorralError, Invalid, WrongState
from corral.domain.rollout_state import (
    Gate,
    GateKind,
    GateState,
    Hold,
    OnFailure,
    RolloutState,
    Tolerance,
    parse_tolerance,
)
from corral.domain.task import OPEN, TaskState

ONE = parse_tolerance("1", element="x")
S = RolloutState


async def test_stages_follow_each_other_and_without_auto_advance_each_waits_to_be_let_on(room, caller):
    await room.boot()
    rollout = await room.create()
    await room.step()
    assert [node for _, node in room.stage_tasks(1)] == ["n1", "n2"]
    await room.finish(1)
    await room.step()
    found = await room.state(rollout)
    assert (found.state, found.hold, found.stages[0].gate) == (S.PAUSED, Hold.ADVANCE, GateState.PASSED)
    for stage in (2, 3):
        with pytest.raises(WrongState, match="waits for advance"):
            await room.steering.resume(caller, rollout)
        await room.steering.advance(caller, rollout)
        await room.step()
        assert room.stage_tasks(stage)
        with pytest.raises(WrongState, match="not over"):
            await room.steering.advance(caller, rollout)
        await room.finish(stage)
        await room.step()
    assert (await room.state(rollout)).state is S.SUCCEEDED
    assert await room.store.attention() == {}


async def test_a_stage_is_one_job_with_its_name_and_exactly_its_nodes(room):
    await room.boot()
    rollout = await room.create()
    await room.step()
    (job,) = room.db.jobs.values()
    assert (job.name, job.nodes, job.created_by) == (f"{rollout}/stage-1", 2, "ann")
    assert room.db.operations == {f"{rollout}/1/forward": job.id}


async def test_auto_advance_waits_for_its_interval(room):
    await room.boot()
    await room.create(auto_advance=True, advance_interval_seconds=30)
    await room.step()
    await room.finish(1)
    await room.step()
    await room.step()
    assert not room.stage_tasks(2)
    await room.wait(31)
    await room.step()
    assert room.stage_tasks(2)


async def test_a_failed_stage_stops_the_rollout_and_says_why(room, caller):
    await room.boot()
    rollout = await room.create(auto_advance=True)
    await room.step()
    await room.finish(1, TaskState.FAILED, nodes={"n1"})
    await room.finish(1)
    await room.step()
    found = await room.state(rollout)
    assert (found.state, found.hold) == (S.PAUSED, Hold.FAILED)
    assert "1 of 2 nodes failed, 0 allowed" in found.reason
    with pytest.raises(WrongState, match="stage 1 failed") as caught:
        await room.steering.advance(caller, rollout)
    assert "exec retry" in caught.value.hint
    lines = (await room.explanation.why(caller, rollout)).lines
    assert any("1 did not succeed: n1" in line for line in lines)
    assert any("corral rollout resume" in line for line in lines)


async def test_what_was_mended_passes_after_resume(room, caller):
    await room.boot()
    rollout = await room.create(auto_advance=True)
    await room.step()
    await room.finish(1, TaskState.FAILED)
    await room.step()
    job = (await room.state(rollout)).stages[0].job
    await room.jobs.retry(job, nodes=None, now=room.clock.now())
    await room.steering.resume(caller, rollout)
    await room.step()
    assert not room.stage_tasks(2)
    await room.finish(1)
    await room.step()
    assert room.stage_tasks(2)


async def test_what_is_within_the_tolerance_goes_on(room):
    await room.boot()
    await room.create(auto_advance=True, max_failed=ONE)
    await room.step()
    await room.finish(1, TaskState.FAILED, nodes={"n1"})
    await room.finish(1)
    await room.step()
    assert room.stage_tasks(2)
    await room.finish(2, TaskState.TIMED_OUT, nodes={"n3"})
    await room.step()
    found = next(iter(room.db.rollouts.values())).rollout
    assert not room.stage_tasks(3)
    await room.finish(2)
    await room.step()
    found = next(iter(room.db.rollouts.values())).rollout
    assert "2 of 6 nodes failed, 1 allowed in the whole rollout" in found.reason


async def test_too_many_failures_withdraw_what_has_not_begun(make_room):
    room = make_room(4)
    await room.boot()
    rollout = await room.create(strategy="count:0")
    await room.step()
    (job, _), *_ = room.stage_tasks(1)
    await room.report(job, "n1", TaskState.RUNNING)
    room.fleet.away = {"n3", "n4"}
    await room.report(job, "n2", TaskState.FAILED)
    await room.step()
    states = {row.node: row.state for row in room.db.tasks.values()}
    assert states["n1"] is TaskState.RUNNING, "what runs may finish"
    assert states["n3"] is states["n4"] is TaskState.CANCELLED
    assert (await room.state(rollout)).state is S.RUNNING
    await room.report(job, "n1")
    await room.step()
    assert (await room.state(rollout)).hold is Hold.FAILED


async def test_a_node_that_is_away_for_the_whole_stage_is_unreachable(room):
    await room.boot()
    rollout = await room.create(stage_deadline_seconds=60)
    room.fleet.away = {"n2"}
    await room.step()
    await room.finish(1, nodes={"n1"})
    await room.wait(59)
    await room.step()
    assert (await room.state(rollout)).state is S.RUNNING
    await room.wait(1)
    await room.step()
    await room.step()
    found = await room.state(rollout)
    assert "1 of 2 nodes unreachable, 0 allowed" in found.reason
    assert room.stage_tasks(1) == [], "and it is not touched later"


async def test_offline_nodes_within_the_tolerance_do_not_hold_a_stage_until_its_deadline(room):
    await room.boot()
    rollout = await room.create(auto_advance=True, max_unreachable=ONE, stage_deadline_seconds=600)
    room.fleet.away = {"n2"}
    await room.step()
    await room.finish(1, nodes={"n1"})
    await room.step()
    assert not room.stage_tasks(2)
    await room.wait(31)
    for _ in range(3):
        await room.step()
    assert (await room.state(rollout)).stages[0].gate is GateState.PASSED
    assert room.stage_tasks(1) == []
    assert room.stage_tasks(2)


async def test_a_slow_stage_is_ended_by_its_deadline_and_stopped(room):
    await room.boot()
    rollout = await room.create(stage_deadline_seconds=60)
    await room.step()
    await room.finish(1, TaskState.RUNNING)
    await room.wait(60)
    for _ in range(2):
        await room.step()
    found = await room.state(rollout)
    assert found.hold is Hold.FAILED
    assert "deadline" in found.reason
    assert all(row.cancel_asked for row in room.db.tasks.values())


async def test_right_after_a_start_nobody_is_judged_by_absence(room):
    await room.boot(settled=False)
    rollout = await room.create(stage_deadline_seconds=5)
    await room.step()
    await room.wait(10)
    await room.step()
    assert (await room.state(rollout)).stages[0].ended_at is None
    await room.wait(6)
    await room.step()
    assert (await room.state(rollout)).stages[0].ended_at is not None


async def test_a_paused_rollout_starts_nothing_and_goes_on_where_it_was(room, caller):
    await room.boot()
    rollout = await room.create(auto_advance=True)
    await room.steering.pause(caller, rollout)
    await room.step()
    assert room.db.jobs == {}
    await room.steering.resume(caller, rollout)
    await room.step()
    await room.steering.pause(caller, rollout)
    await room.finish(1)
    await room.step()
    await room.wait(1000)
    await room.step()
    assert len(room.db.jobs) == 1
    assert (await room.state(rollout)).stages[0].gate is GateState.PASSED
    await room.steering.resume(caller, rollout)
    await room.step()
    assert room.stage_tasks(2)


async def test_an_abort_starts_nothing_more_and_cancels_what_is_out(room, caller):
    await room.boot()
    rollout = await room.create(auto_advance=True)
    await room.step()
    await room.finish(1)
    await room.step()
    out = room.stage_tasks(2)
    assert out
    aborted = await room.steering.abort(caller, rollout)
    assert (aborted.state, aborted.stages[1].gate) == (S.FAILED, GateState.FAILED)
    assert aborted.reason.startswith("aborted by ")
    for _ in range(3):
        await room.step()
    assert all(row.cancel_asked for row in room.db.tasks.values() if row.state in OPEN)
    assert not room.stage_tasks(3)
    await room.finish(2, TaskState.CANCELLED)
    await room.step()
    assert await room.store.attention() == {}
    assert await room.steering.abort(caller, rollout) == await room.state(rollout)
    with pytest.raises(WrongState, match="failed"):
        await room.steering.resume(caller, rollout)


async def test_an_abort_cancels_also_a_stage_that_was_submitted_and_not_recorded(room, caller):
    from dataclasses import replace

    await room.boot()
    rollout = await room.create()
    await room.step()
    stored = room.db.rollouts[rollout]
    forgotten = replace(stored.rollout.stages[0], job=None, started_at=None, deadline_at=None)
    stored.rollout = replace(stored.rollout, stages=(forgotten, *stored.rollout.stages[1:]))
    await room.boot()
    await room.steering.abort(caller, rollout)
    for _ in range(2):
        await room.step()
    found = await room.state(rollout)
    assert found.stages[0].job is not None
    assert all(row.cancel_asked for row in room.db.tasks.values())


async def test_a_pause_between_the_decision_and_the_start_wins(room, caller):
    await room.boot()
    rollout = await room.create()
    add = room.jobs.add

    async def paused_meanwhile(*words, **options):
        await room.steering.pause(caller, rollout)
        return await add(*words, **options)

    room.jobs.add = paused_meanwhile
    await room.step()
    assert room.db.jobs == {}
    assert (await room.state(rollout)).state is S.PAUSED


async def test_a_leader_that_was_replaced_starts_nothing(room):
    old = await room.boot()
    await room.create()
    await room.boot()
    await old.step()
    assert room.db.jobs == {}
    await room.step()
    assert len(room.db.jobs) == 1


async def test_rollback_takes_back_what_was_touched_and_what_failed_first(room, caller):
    await room.boot()
    rollout = await room.create(auto_advance=True, on_failure=OnFailure.ROLLBACK)
    await room.step()
    await room.finish(1)
    await room.step()
    await room.finish(2, TaskState.FAILED, nodes={"n4"})
    await room.finish(2)
    await room.step()
    found = await room.state(rollout)
    assert found.state is S.ROLLING_BACK
    order = []
    for stage in (1, 2, 3):
        order.append([node for _, node in room.stage_tasks(stage, "back")])
        await room.finish(stage, direction="back")
        await room.step()
    assert order == [["n4"], ["n3"], ["n1", "n2"]]
    found = await room.state(rollout)
    assert (found.state, found.finished_at is not None) == (S.ROLLED_BACK, True)
    with pytest.raises(WrongState, match="its rollback is over"):
        await room.steering.roll_back(caller, rollout)


async def test_a_rollback_stops_what_still_goes_forward_before_it_begins(room, caller):
    await room.boot()
    rollout = await room.create()
    await room.step()
    await room.finish(1, TaskState.RUNNING)
    await room.steering.roll_back(caller, rollout)
    await room.step()
    assert all(row.cancel_asked for row in room.db.tasks.values())
    assert room.stage_tasks(1, "back") == []
    await room.finish(1, TaskState.CANCELLED)
    await room.step()
    assert [node for _, node in room.stage_tasks(1, "back")] == ["n1", "n2"]


async def test_a_rollback_of_what_never_began_touches_nobody(room, caller):
    await room.boot()
    rollout = await room.create()
    await room.steering.roll_back(caller, rollout)
    await room.step()
    assert (await room.state(rollout)).state is S.ROLLED_BACK
    assert room.db.jobs == {}


async def test_nodes_that_do_not_go_back_are_named_and_an_offline_one_keeps_its_task(room, caller):
    await room.boot()
    rollout = await room.create(stage_deadline_seconds=60)
    await room.step()
    await room.finish(1)
    await room.step()
    room.fleet.away = {"n2"}
    await room.steering.roll_back(caller, rollout)
    await room.step()
    await room.finish(1, direction="back", nodes={"n1"})
    await room.wait(60)
    await room.step()
    found = await room.state(rollout)
    assert (found.state, found.reason) == (S.FAILED, "1 node not back: n2")
    assert [node for _, node in room.stage_tasks(1, "back")] == ["n2"]


async def test_a_command_that_nothing_undoes_is_not_rolled_back_without_being_told_how(room, caller):
    await room.boot()
    with pytest.raises(Invalid, match="no rollback command"):
        await room.create(back=None, on_failure=OnFailure.ROLLBACK)
    rollout = await room.create(back=None)
    await room.step()
    await room.finish(1)
    with pytest.raises(Invalid, match="nothing is known that undoes it") as caught:
        await room.steering.roll_back(caller, rollout)
    assert "--rollback-cmd" in caught.value.hint
    from corral.domain.job import CommandSpec

    await room.steering.roll_back(caller, rollout, CommandSpec(shell="undo"))
    await room.step()
    assert room.stage_tasks(1, "back")
    assert room.db.jobs[room.stage_tasks(1, "back")[0][0]].spec.shell == "undo"


async def test_gates_are_asked_in_turn_after_all_tasks_are_done(room):
    await room.boot()
    gates = (
        Gate(kind=GateKind.ONLINE),
        Gate(kind=GateKind.COMMAND, argv=("check",)),
        Gate(kind=GateKind.HTTP, url="http://app/"),
    )
    rollout = await room.create(gates=gates, auto_advance=True)
    await room.step()
    assert room.prober.asked == []
    await room.finish(1)
    await room.step()
    (probe,) = [job for job in room.db.jobs.values() if job.name.endswith("gate-2")]
    assert probe.spec.argv == ("check",)
    assert (await room.state(rollout)).stages[0].gate is GateState.CHECKING
    for node in ("n1", "n2"):
        await room.report(probe.id, node)
    await room.step()
    assert room.prober.asked == ["http://app/"]
    await room.step()
    assert room.stage_tasks(2)


@pytest.mark.parametrize("kind", ["command", "http", "online"])
async def test_a_gate_that_does_not_pass_fails_its_stage(room, kind):
    await room.boot()
    rollout = await room.create(gates=(Gate(kind=GateKind(kind), argv=("check",), url="http://app/"),))
    room.prober.answer = type(room.prober.answer)(False, "answered 503, not 2xx")
    await room.step()
    await room.finish(1)
    room.fleet.away = {"n2"} if kind == "online" else set()
    await room.step()
    for job in [job.id for job in room.db.jobs.values() if "gate" in job.name]:
        await room.report(job, "n1", TaskState.FAILED)
        await room.report(job, "n2")
    await room.wait(31)
    await room.step()
    await room.step()
    found = await room.state(rollout)
    assert found.hold is Hold.FAILED
    assert "gate " in found.reason
    assert {"command": "n1", "http": "503", "online": "n2"}[kind] in found.reason


async def test_a_stage_that_can_never_be_submitted_fails_the_rollout(room):
    await room.boot()
    rollout = await room.create()

    async def refuse(*words, **options):
        raise Conflict("cannot apply: the revision is gone")

    room.submission.submit = refuse
    await room.step()
    found = await room.state(rollout)
    assert (found.state, found.reason) == (S.FAILED, "cannot apply: the revision is gone")


async def test_a_set_of_nodes_that_is_not_the_pinned_one_is_refused(room):
    from dataclasses import replace

    await room.boot()
    rollout = await room.create()
    stored = room.db.rollouts[rollout]
    stages = (replace(stored.rollout.stages[0], nodes=("n1", "n2", "n9")), *stored.rollout.stages[1:])
    stored.rollout = replace(stored.rollout, stages=stages)
    await room.step()
    found = await room.state(rollout)
    assert found.state is S.FAILED
    assert "not the set that was pinned" in found.reason
    assert room.db.jobs == {}


VERBS = ("pause", "resume", "advance", "advance", "advance", "roll_back", "pause", "abort")


@pytest.mark.parametrize("seed", range(100))
async def test_f24_a_hundred_schedules_of_crashes_failures_and_people(make_room, rng, caller, crash, seed):
    """Nobody is touched twice in a direction, never more than a stage at once, rollback reaches all touched nodes."""
    random = rng(seed)
    room = make_room(random.randint(3, 9))
    await room.boot()
    rollout = await room.create(
        strategy=random.choice(["count:1,2,0", "percentage:20,50", "count:2,2,2"]),
        auto_advance=random.random() < 0.7,
        max_failed=random.choice([Tolerance(), ONE]),
        max_unreachable=random.choice([Tolerance(), ONE]),
        on_failure=random.choice(list(OnFailure)),
        stage_deadline_seconds=60,
    )
    executed, ran = [], set()
    largest = max(len(stage.nodes) for stage in (await room.state(rollout)).stages)

    async def nodes_work():
        for row in list(room.db.tasks.values()):
            if row.state not in OPEN or row.node in room.fleet.away or random.random() < 0.3:
                continue
            fails = random.random() < 0.1 and "back" not in room.db.jobs[row.job].name
            if row.cancel_asked and random.random() < 0.5:
                await room.report(row.job, row.node, TaskState.CANCELLED)
                continue
            name = room.db.jobs[row.job].name
            executed.append((name.split("/")[1].split("-")[0], row.node))
            if "stage" in name:
                ran.add(row.node)
            await room.report(row.job, row.node, TaskState.FAILED if fails else TaskState.SUCCEEDED)

    def check():
        for direction in ("stage", "back"):
            touched = [node for word, node in executed if word == direction]
            assert len(touched) == len(set(touched)), f"twice: {sorted(touched)}"
            out = {}
            for row in room.db.tasks.values():
                name = room.db.jobs[row.job].name
                if direction in name and row.state in OPEN and not row.cancel_asked and row.node not in room.fleet.away:
                    out.setdefault(row.job, []).append(row.node)
            # A rollback leaves the tasks of offline nodes queued; these may come home while the next stage is out.
            assert direction == "back" or len(out) <= 1, out
            assert all(len(nodes) <= largest for nodes in out.values())

    async def drive():
        try:
            await room.step()
        except crash:
            await room.boot()
        check()

    for _ in range(60):
        if random.random() < 0.25:
            room.store.crash_in = random.randint(1, 3)
        await drive()
        if random.random() < 0.7:
            await nodes_work()
        if random.random() < 0.15:
            try:
                await getattr(room.steering, random.choice(VERBS))(caller, rollout)
            except CorralError:
                pass
        if random.random() < 0.15:
            room.fleet.away = set(random.sample(room.fleet.nodes, random.randint(0, 2)))
        if random.random() < 0.2:
            before, jobs = await room.state(rollout), len(room.db.jobs)
            await room.wait(random.choice([1, 10, 61]))
            if before.state is S.PAUSED:
                await drive()
                assert len(room.db.jobs) == jobs, "a paused rollout started something"
    room.store.crash_in = 0
    room.fleet.away = set()
    found = await room.state(rollout)
    if found.state is not S.ROLLED_BACK and not found.back and found.state is not S.ROLLING_BACK:
        await room.steering.roll_back(caller, rollout)
    for _ in range(60):
        await drive()
        await nodes_work()
        await room.wait(5)
    found = await room.state(rollout)
    assert found.state in (S.ROLLED_BACK, S.FAILED)
    back = {node for stage in found.back for node in stage.nodes}
    assert ran <= back, f"not taken back: {sorted(ran - back)}"
