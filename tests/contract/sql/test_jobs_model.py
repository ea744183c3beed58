"""Random reports, cancels, retries, duplicates and reorderings: what never happens, on memory and on SQLite.

The rules checked after every step: a task moves forward only, within an attempt to at most one terminal state; attempts only
grow; the counts of a job are the real counts; no more tasks are out than its concurrency; a job is over exactly when its last
task is; what is held back is due to nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from corral.domain.ids import new_id
from corral.domain.job import CommandSpec, Job, JobState, job_state, pinned_hash
from corral.domain.task import OPEN, RANK, Outcome, Reason, Task, TaskState, summary
from corral.runtime.clock import SystemClock
from corral.server.application.ports.jobs import Changed, NewTask, Reported
from corral.testing.store_set import StoreSet, memory_stores, sql_stores

NODES = ["n1", "n2", "n3", "n4"]
START = datetime(2026, 11, 21, tzinfo=UTC)
Open = Callable[[], contextlib.AbstractAsyncContextManager[StoreSet]]


@contextlib.asynccontextmanager
async def in_memory() -> Any:
    yield memory_stores()


@contextlib.asynccontextmanager
async def on_sqlite() -> Any:
    with tempfile.TemporaryDirectory() as directory:
        async with sql_stores(f"sqlite:///{Path(directory)}/corral.db", SystemClock()) as made:
            yield made


class Jobs(RuleBasedStateMachine):
    """One job under everything that can happen to it."""

    open_stores: Open = staticmethod(in_memory)

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.exit = contextlib.AsyncExitStack()
        self.stores: StoreSet = self.do(self.exit.enter_async_context(type(self).open_stores()))
        self.now = START
        self.seen: dict[str, Task] = {}
        self.ended_attempts: dict[tuple[str, int], TaskState] = {}
        self.ended = 0

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.do(self.exit.aclose())
        self.runner.close()

    @initialize(concurrency=st.sampled_from([None, 1, 2, 3]), retries=st.integers(0, 2))
    def submit(self, concurrency: int | None, retries: int) -> None:
        self.job = Job(
            id=new_id("J", 1, b"model!"),
            name="",
            kind="exec",
            target="all",
            spec=CommandSpec(argv=("true",)),
            state=JobState.OPEN,
            counts={},
            nodes=4,
            pinned=pinned_hash(NODES),
            created_at=self.now,
            created_by="model",
            expires_at=self.now + timedelta(minutes=10),
            concurrency=concurrency,
            retries=retries,
        )
        out = len(NODES) if concurrency is None else concurrency
        tasks = [NewTask(node=node, due=number < out) for number, node in enumerate(NODES)]
        self.do(self.stores.jobs.add(self.job, tasks, operation="once"))

    def changed(self, changed: Changed) -> None:
        """What a call says must be what the store holds."""
        held = {task.node: task for task in self.tasks()}
        for task in changed.tasks:
            assert held[task.node] == task
        for delivery in changed.released:
            assert held[delivery.node].attempt == delivery.attempt
            assert held[delivery.node].state in OPEN
            assert delivery.cancel == held[delivery.node].cancel_asked

    def tasks(self) -> list[Task]:
        return list(self.do(self.stores.queries.tasks(self.job.id)).items)

    @rule(
        batch=st.lists(
            st.tuples(
                st.sampled_from([*NODES, "stranger"]),
                st.integers(1, 3),
                st.integers(1, 6),
                st.sampled_from(list(TaskState)),
            ),
            min_size=1,
            max_size=6,
        )
    )
    def report_anything(self, batch: list[tuple[str, int, int, TaskState]]) -> None:
        reports = [
            Reported(node=node, outcome=Outcome(job=self.job.id, attempt=attempt, seq=seq, state=state))
            for node, attempt, seq, state in batch
        ]
        first = self.do(self.stores.jobs.apply(reports, now=self.now))
        self.changed(first)
        again = self.do(self.stores.jobs.apply(reports, now=self.now))
        # A report about a task that was still held back counts once the batch itself has let that task go.
        let_go = {delivery.node for delivery in (*first.released, *again.released)}
        assert {task.node for task in again.tasks} <= let_go, "a batch delivered again changed something"

    @rule(node=st.sampled_from(NODES), state=st.sampled_from(list(TaskState)))
    def report_next(self, node: str, state: TaskState) -> None:
        """As a well-behaved node does: this attempt, the next seq."""
        task = self.do(self.stores.queries.task(self.job.id, node))
        outcome = Outcome(job=self.job.id, attempt=task.attempt, seq=task.seq + 1, state=state)
        self.changed(self.do(self.stores.jobs.apply([Reported(node=node, outcome=outcome)], now=self.now)))

    @rule(nodes=st.none() | st.lists(st.sampled_from(NODES), max_size=2), offline=st.sets(st.sampled_from(NODES)))
    def cancel(self, nodes: list[str] | None, offline: set[str]) -> None:
        self.changed(self.do(self.stores.jobs.cancel(self.job.id, nodes=nodes, offline=offline, now=self.now)))

    @rule(nodes=st.none() | st.lists(st.sampled_from(NODES), max_size=2))
    def retry(self, nodes: list[str] | None) -> None:
        self.changed(self.do(self.stores.jobs.retry(self.job.id, nodes=nodes, now=self.now)))

    @rule(seconds=st.sampled_from([1, 5, 100, 700]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        for delivery in self.do(self.stores.jobs.due(now=self.now, limit=100)):
            assert delivery.cancel or delivery.not_after > self.now

    @rule()
    def sweep(self) -> None:
        self.changed(self.do(self.stores.jobs.expire(now=self.now, lost_before=self.now)))

    @rule(node=st.sampled_from(NODES))
    def remove_node(self, node: str) -> None:
        work = self.stores.jobs.settle_node(node, state=TaskState.LOST, reason=Reason.NODE_REMOVED, now=self.now)
        self.changed(self.do(work))

    @invariant()
    def every_rule_holds(self) -> None:
        if not hasattr(self, "job"):
            return
        job = self.do(self.stores.queries.get(self.job.id))
        tasks = self.tasks()
        assert dict(job.counts) == summary(task.state for task in tasks)
        assert job.state is job_state(job.counts, cancel_asked=job.cancel_asked)
        assert (job.finished_at is None) == (job.state is JobState.OPEN)
        out = [node for node in NODES if self.do(self.stores.jobs.open_for(node, limit=10))]
        still_open = [task.node for task in tasks if task.state in OPEN]
        if self.job.concurrency is None:
            assert out == still_open
        else:
            assert len(out) == min(self.job.concurrency, len(still_open)), "slots are used, and not exceeded"
        for task in tasks:
            self.check_forward(task)

    def check_forward(self, task: Task) -> None:
        assert (task.finished_at is None) == (task.state in OPEN)
        before = self.seen.get(task.node)
        self.seen[task.node] = task
        if task.state not in OPEN:
            key = (task.node, task.attempt)
            assert self.ended_attempts.setdefault(key, task.state) is task.state, "a second terminal state"
        if before is None:
            return
        assert task.attempt >= before.attempt
        if task.attempt == before.attempt:
            assert RANK[task.state] >= RANK[before.state]
            assert task.seq >= before.seq
        else:
            old = self.do(self.stores.queries.attempts(self.job.id, task.node))
            assert [had.attempt for had in old] == list(range(1, task.attempt))
            assert all(had.state not in OPEN for had in old)


class JobsOnSqlite(Jobs):
    open_stores = staticmethod(on_sqlite)


@pytest.mark.parametrize(("machine", "examples"), [(Jobs, 150), (JobsOnSqlite, 20)], ids=["memory", "sqlite"])
def test_nothing_that_happens_to_a_job_breaks_its_rules(machine: type[Jobs], examples: int) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]  # hypothesis leaves it untyped
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
