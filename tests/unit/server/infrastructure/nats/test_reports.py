import asyncio
import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corral.domain.errors import Internal, OutOfSpace, Unavailable
from corral.domain.job import JobState
from corral.domain.task import OPEN, TaskState
from corral.runtime.lifecycle import TaskSet
from corral.server.infrastructure.nats import reports

JOB = "J" + "0" * 18


async def test_a_report_is_committed_acknowledged_and_receipted(bench):
    job = await bench.job()
    token = bench.report(job, "n1", "succeeded", exit_code=0, finished_at=bench.clock.wall())
    await bench.ingest_all()
    task = await bench.queries.task(job.id, "n1")
    assert (task.state, task.exit_code) == (TaskState.SUCCEEDED, 0)
    assert (await bench.queries.get(job.id)).state is JobState.SUCCEEDED
    assert bench.receipts() == [token]
    assert (await bench.bus.streams.usage())["reports"]["messages"] == 0
    assert bench.counters["reports_applied_total"] == 1


async def test_a_duplicate_changes_nothing_and_is_receipted_again(bench):
    job = await bench.job()
    token = bench.report(job, "n1", "failed", exit_code=1)
    again = bench.report(job, "n1", "succeeded", exit_code=0)
    await bench.ingest_all()
    assert (await bench.queries.task(job.id, "n1")).state is TaskState.FAILED
    assert sorted(bench.receipts()) == sorted([token, again])
    assert bench.counters["reports_unchanged_total"] == 1


async def test_a_report_of_an_unknown_job_is_receipted_so_that_it_ends(bench):
    job = await bench.job()
    token = bench.report(replace(job, id=JOB), "n1", "succeeded")
    await bench.ingest_all()
    assert bench.receipts() == [token]
    assert bench.counters["reports_unchanged_total"] == 1


async def test_a_node_cannot_report_for_another(bench):
    job = await bench.job(["n1", "n2"])
    bench.report(job, "n2", "failed", exit_code=1)
    await bench.ingest_all()
    assert (await bench.queries.task(job.id, "n1")).state is TaskState.QUEUED


async def test_watchers_hear_and_what_became_due_is_pushed(bench):
    job = await bench.job(retries=1)
    subscription = bench.events.subscribe(job.id)
    bench.report(job, "n1", "failed", exit_code=1)
    await bench.ingest_all()
    await bench.dispatcher.push_waiting()
    assert [t.attempt for t in subscription.take().tasks] == [2]
    assert [body["attempt"] for body in bench.bodies("task")] == [2]


async def test_poison_goes_to_the_dead_letters_and_good_reports_beside_it_are_taken(bench):
    job = await bench.job()
    for data in (b"\xff", b"{}", b"[" * 5000, b'{"v":99}', b""):
        bench.bus.arrive("corral.up.evil.report", data)
    bench.report(job, "n1", "succeeded")
    await bench.ingest_all()
    assert (await bench.queries.task(job.id, "n1")).state is TaskState.SUCCEEDED
    letters = await bench.letters.list()
    assert len(letters) == 5 and {letter.node for letter in letters} == {"evil"}
    assert bench.counters["reports_poison_total"] == 5
    assert (await bench.bus.streams.usage())["reports"]["messages"] == 0


class Failing:
    """A store that fails so many times with an error, or for one node always."""

    def __init__(self, store, error, times=0, node=None):
        self._store, self._error, self.times, self._node = store, error, times, node
        self.calls = 0

    async def apply(self, batch, *, now):
        self.calls += 1
        if self.calls <= self.times or any(r.node == self._node for r in batch):
            raise self._error
        return await self._store.apply(batch, now=now)


@pytest.mark.parametrize("error", [Unavailable("cannot write: away"), OutOfSpace("cannot write: full")])
async def test_a_database_that_is_away_is_waited_for_and_nothing_is_acknowledged_meanwhile(bench, error):
    job = await bench.job()
    token = bench.report(job, "n1", "succeeded")
    bench.ingest._store = failing = Failing(bench.store, error, times=1000)
    tasks = TaskSet("test")
    taking = tasks.start(bench.ingest_all(), name="take")
    await bench.clock.advance(0)
    await bench.clock.advance(30)
    assert bench.receipts() == [] and bench.ingest.behind()
    assert failing.calls > 5
    failing.times = 0
    while not taking.done():
        await bench.clock.advance(10)
        await asyncio.sleep(0.005)
    assert bench.receipts() == [token]
    assert not bench.ingest.behind()
    await tasks.close()


async def test_one_report_the_database_refuses_does_not_hold_up_the_others(bench):
    job = await bench.job(["n1", "n2", "n3", "bad"])
    for node in ("n1", "bad", "n2", "n3"):
        bench.report(job, node, "succeeded")
    bench.ingest._store = Failing(bench.store, Internal("cannot store: overflow"), node="bad")
    tasks = TaskSet("test")
    taking = tasks.start(bench.ingest_all(), name="take")
    while not taking.done():
        await bench.clock.advance(10)
        await asyncio.sleep(0.002)
    await tasks.close()
    states = {t.node: t.state for t in (await bench.queries.tasks(job.id)).items}
    assert states == dict.fromkeys(["n1", "n2", "n3"], TaskState.SUCCEEDED) | {"bad": TaskState.QUEUED}
    assert [letter.node for letter in await bench.letters.list()] == ["bad"]
    assert len(bench.receipts()) == 4


async def test_an_engine_that_is_away_after_the_commit_only_means_duplicates(bench):
    job = await bench.job()
    token = bench.report(job, "n1", "succeeded")
    [message] = await bench.bus.streams.batches("reports", "ingest").next(limit=10, wait_seconds=0)
    bench.bus.away = True
    await bench.ingest.take([message])
    assert bench.receipts() == []
    bench.bus.away = False
    await bench.ingest.take([message])
    assert bench.receipts() == [token]
    assert bench.counters["reports_applied_total"] == 1


async def test_rates_per_node_are_told(bench):
    seen = []
    bench.ingest._rates = seen.append
    bench.bus.arrive("corral.up.n1.report", b"x")
    bench.bus.arrive("corral.up.n2.report", b"x")
    bench.bus.arrive("corral.up.n1.report", b"x")
    await bench.ingest_all()
    assert seen == [{"n1": 2, "n2": 1}]


async def test_the_running_ingest_waits_for_an_engine_that_is_away(bench, monkeypatch):
    monkeypatch.setattr(reports, "WAIT_SECONDS", 0.01)
    job = await bench.job()
    bench.report(job, "n1", "succeeded")
    bench.bus.away = True
    tasks, ready = TaskSet("test"), asyncio.Event()
    tasks.start(bench.ingest.run(ready.set), name="ingest")
    await ready.wait()
    await bench.clock.advance(1)
    bench.bus.away = False
    async with asyncio.timeout(5):
        while not bench.receipts():
            await bench.clock.advance(5)
            await asyncio.sleep(0.005)
    await tasks.close()
    assert (await bench.queries.task(job.id, "n1")).state is TaskState.SUCCEEDED


STORY = [
    ("delivered", {"delivered_at": 1.0}),
    ("running", {"started_at": 2.0}),
    ("succeeded", {"exit_code": 0, "finished_at": 3.0}),
]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_duplicates_reordering_and_redelivery_of_reports_converge(bench, data):
    """Each node tells its story in any order, some of it several times, cut into any batches: one end, the same for all orders."""
    nodes = [f"n{i}" for i in range(data.draw(st.integers(1, 4)))]
    lost_first = data.draw(st.booleans())
    job = await bench.job(nodes)
    told = []
    for node in nodes:
        steps = list(enumerate(STORY, start=1))
        if data.draw(st.booleans()):
            steps[-1] = (3, ("failed", {"exit_code": data.draw(st.integers(1, 255))}))
        told += [(node, seq, state, more) for seq, (state, more) in steps]
    told += data.draw(st.lists(st.sampled_from(told), max_size=10))
    told = data.draw(st.permutations(told))
    if lost_first:
        # Every result also comes a second time after all, as a node does that never saw its receipt.
        told = [*told, *told]
    tokens = []
    for start in range(0, len(told), step := data.draw(st.integers(1, 7))):
        for node, seq, state, more in told[start : start + step]:
            tokens.append(bench.report(job, node, state, seq=seq, **more))
        await bench.ingest_all()
    tasks = {t.node: t for t in (await bench.queries.tasks(job.id)).items}
    ends = {node: (state, more["exit_code"]) for node, seq, state, more in told if seq == 3}
    assert {node: (t.state.value, t.exit_code) for node, t in tasks.items()} == ends
    found = await bench.queries.get(job.id)
    assert found.state not in OPEN and sum(found.counts.values()) == len(nodes)
    assert set(tokens) <= set(bench.receipts())


async def test_ten_thousand_duplicates_are_absorbed_and_counted(bench):
    nodes = [f"n{i}" for i in range(200)]
    job = await bench.job(nodes)
    order = random.Random(7)
    for _ in range(17):
        order.shuffle(nodes)
        for node in nodes:
            for seq, (state, more) in order.sample(list(enumerate(STORY, start=1)), 3):
                bench.report(job, node, state, seq=seq, **more)
        await bench.ingest_all()
    assert (await bench.queries.get(job.id)).counts == {TaskState.SUCCEEDED: 200}
    received = 17 * 200 * 3
    assert bench.counters["reports_received_total"] == received
    assert bench.counters["reports_applied_total"] + bench.counters["reports_unchanged_total"] == received
    assert bench.counters["reports_unchanged_total"] >= received - 600
