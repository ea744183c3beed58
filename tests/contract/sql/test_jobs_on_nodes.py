"""Jobs and tasks by the nodes somebody sees: the same answers in memory, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from corral.domain.job import Job, JobState
from corral.domain.task import Outcome, TaskState
from corral.server.application.ports.jobs import NewTask, Reported
from corral.testing.store_set import StoreSet

MakeJob = Callable[..., Job]


async def add(stores: StoreSet, job: Job, nodes: list[str]) -> str:
    tasks = [NewTask(node=node) for node in nodes]
    counts = {TaskState.QUEUED: len(nodes)}
    return (await stores.jobs.add(replace(job, nodes=len(nodes), counts=counts), tasks, operation=None)).id


async def test_a_list_on_nodes_has_the_jobs_with_a_task_there_in_pages(stores: StoreSet, make_job: MakeJob) -> None:
    ids = [await add(stores, make_job(), nodes) for nodes in (["n1"], ["n2"], ["n1", "n2"], ["n3"], ["n2", "n3"])]
    queries = stores.queries

    async def listed(*nodes: str) -> list[str]:
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = await queries.list(nodes=nodes, limit=1, cursor=cursor)
            found += [job.id for job in page.items]
            if page.next is None:
                return found
            cursor = page.next

    assert await listed("n1") == [ids[2], ids[0]]
    assert await listed("n2", "n3") == [ids[4], ids[3], ids[2], ids[1]]
    assert await listed("n9") == [] and await listed() == []
    assert [job.id for job in (await queries.list()).items] == ids[::-1]


async def test_states_and_nodes_limit_together(stores: StoreSet, make_job: MakeJob, now: datetime) -> None:
    done, other = await add(stores, make_job(), ["n1", "n2"]), await add(stores, make_job(), ["n1"])
    for node in ("n1", "n2"):
        outcome = Outcome(job=done, attempt=1, seq=1, state=TaskState.SUCCEEDED, finished_at=now.timestamp())
        await stores.jobs.apply([Reported(node=node, outcome=outcome)], now=now)
    queries = stores.queries
    assert [job.id for job in (await queries.list(states=[JobState.SUCCEEDED], nodes=["n1"])).items] == [done]
    assert [job.id for job in (await queries.list(states=[JobState.OPEN], nodes={"n1", "n2"})).items] == [other]
    _, page = await queries.with_tasks(done, states=[TaskState.SUCCEEDED], nodes=["n2", "n9"])
    assert [task.node for task in page.items] == ["n2"]
    _, none = await queries.with_tasks(done, states=[TaskState.FAILED], nodes=["n2"])
    assert not none.items


async def test_tasks_of_nodes_come_in_pages_and_a_job_names_its_nodes(stores: StoreSet, make_job: MakeJob) -> None:
    job = await add(stores, make_job(), ["n3", "n1", "n2"])
    assert list(await stores.queries.nodes(job)) == ["n1", "n2", "n3"]
    assert list(await stores.queries.nodes("J0000000000000000000")) == []
    _, first = await stores.queries.with_tasks(job, nodes=["n3", "n1"], limit=1)
    _, rest = await stores.queries.with_tasks(job, nodes=["n3", "n1"], limit=1, cursor=first.next)
    assert [first.items[0].node, rest.items[0].node, rest.next] == ["n1", "n3", None]


async def test_the_tasks_of_a_node_come_in_pages_the_newest_job_first_each_with_its_job(
    stores: StoreSet, make_job: MakeJob, now: datetime
) -> None:
    ids = [await add(stores, make_job(), nodes) for nodes in (["n1"], ["n2"], ["n1", "n2"], ["n2", "n1"])]
    outcome = Outcome(job=ids[2], attempt=1, seq=1, state=TaskState.SUCCEEDED, finished_at=now.timestamp())
    await stores.jobs.apply([Reported(node="n1", outcome=outcome)], now=now)
    first = await stores.queries.of_node("n1", limit=2)
    assert [(job.id, task.job, task.node, task.state) for job, task in first.items] == [
        (ids[3], ids[3], "n1", TaskState.QUEUED),
        (ids[2], ids[2], "n1", TaskState.SUCCEEDED),
    ]
    rest = await stores.queries.of_node("n1", limit=2, cursor=first.next)
    assert [job.id for job, _ in rest.items] == [ids[0]] and rest.next is None
    none = await stores.queries.of_node("n9")
    assert not none.items and none.next is None
