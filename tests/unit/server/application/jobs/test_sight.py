"""What somebody with grants on some nodes sees of jobs, and what he may do to them."""

import asyncio
from contextlib import aclosing

import pytest

from corral.domain.access import Grant, words
from corral.domain.errors import Denied, NotFound
from corral.domain.job import CommandSpec, JobSpec
from corral.domain.task import TaskState
from corral.runtime.lifecycle import TaskSet
from corral.server.application.jobs.watch import End, JobChanged, Snapshot, TasksChanged
from corral.server.application.ports.access import Caller
from corral.server.application.ports.jobs import OutputChunk

SEE = frozenset({"exec.read", "output.read"})
DO = SEE | {"exec.run", "exec.cancel"}


def person(*grants, name="ana"):
    held = tuple(Grant(permissions=frozenset(words), selector=where) for words, where in grants)
    return Caller(name=name, permissions=words(held), grants=held)


ANA = person((DO, "n1,n2"))
BEN = person((DO, "n3"), name="ben")
EVE = person((DO, "elsewhere"), name="eve")


async def submit(world, caller, target):
    spec = JobSpec(target=target, command=CommandSpec(argv=("true",)))
    return (await world.room.submission.submit(caller, spec)).job


async def test_nothing_is_submitted_beyond_the_grants_not_even_in_part(world):
    with pytest.raises(Denied, match="1 of the 3 nodes"):
        await submit(world, ANA, "all")
    spec = JobSpec(target="all", command=CommandSpec(argv=("true",)))
    with pytest.raises(Denied):
        await world.room.submission.preview(ANA, spec)
    assert not (await world.queries.list()).items
    assert (await submit(world, ANA, "n1,n2")).nodes == 2


async def test_a_list_holds_the_jobs_with_a_node_inside_and_pages_of_them(world):
    jobs = {text: (await world.submit(text)).id for text in ("n1", "n3", "all", "n2,n3")}

    async def listed(caller, **page):
        return [job.id for job in (await world.room.listing.list(caller, **page)).items]

    newest_first = sorted(jobs.values(), reverse=True)
    assert await listed(world.caller) == newest_first
    assert await listed(ANA) == [id_ for id_ in newest_first if id_ != jobs["n3"]]
    assert await listed(BEN) == [id_ for id_ in newest_first if id_ != jobs["n1"]]
    assert await listed(EVE) == []
    first = await world.room.listing.list(ANA, limit=2)
    rest = await world.room.listing.list(ANA, limit=2, cursor=first.next)
    assert [job.id for job in [*first.items, *rest.items]] == await listed(ANA)


async def test_a_job_shows_the_tasks_inside_with_its_own_counts(world):
    job = await world.submit("all")
    found = await world.room.listing.get(ANA, job.id)
    assert [task.node for task in found.tasks] == ["n1", "n2"]
    assert found.job.nodes == 3
    page = await world.room.listing.get(ANA, job.id, limit=1)
    rest = await world.room.listing.get(ANA, job.id, limit=1, cursor=page.next)
    assert [page.tasks[0].node, rest.tasks[0].node, rest.next] == ["n1", "n2", None]


@pytest.mark.parametrize(
    "what", ["get", "why", "why_node", "events", "output", "output_node", "raw", "cancel", "retry"]
)
async def test_a_job_without_a_node_inside_is_not_there(world, what):
    job = (await world.submit("n3")).id
    room = world.room
    asked = {
        "get": lambda: room.listing.get(ANA, job),
        "why": lambda: room.explanation.why(ANA, job),
        "why_node": lambda: room.explanation.why(ANA, job, "n3"),
        "events": lambda: room.watching.job(ANA, job),
        "output": lambda: room.watching.output(ANA, job),
        "output_node": lambda: room.watching.output(ANA, job, node="n3"),
        "raw": lambda: room.output.raw(ANA, job, "n3", "stdout"),
        "cancel": lambda: room.cancellation.cancel(ANA, job),
        "retry": lambda: room.retry.retry(ANA, job),
    }
    with pytest.raises(NotFound):
        await asked[what]()
    assert (await world.queries.get(job)).cancel_asked is False


async def test_a_node_outside_has_no_task_for_him(world):
    job = (await world.submit("all")).id
    for asked in (
        world.room.explanation.why(ANA, job, "n3"),
        world.room.watching.output(ANA, job, node="n3"),
        world.room.output.raw(ANA, job, "n3", "stdout"),
    ):
        with pytest.raises(NotFound, match="n3"):
            await asked


async def test_the_reasons_of_a_job_name_no_node_outside(world):
    job = await world.submit("all")
    for node in ("n1", "n3"):
        await world.report(job.id, node, TaskState.FAILED, exit_code=1)
    text = "\n".join((await world.room.explanation.why(ANA, job.id)).lines)
    assert "n1" in text and "n3" not in text


async def test_cancel_and_retry_need_every_node_they_touch(world):
    job = await world.submit("all")
    with pytest.raises(Denied, match="n3"):
        await world.room.cancellation.cancel(ANA, job.id)
    with pytest.raises(Denied):
        await world.room.cancellation.cancel(ANA, job.id, ["n1", "n3"])
    await world.room.cancellation.cancel(ANA, job.id, ["n1"])
    for node in ("n1", "n2", "n3"):
        await world.report(job.id, node, TaskState.FAILED)
    with pytest.raises(Denied):
        await world.room.retry.retry(ANA, job.id)
    retried = await world.room.retry.retry(ANA, job.id, ["n2"])
    assert retried.counts[TaskState.QUEUED] == 1


async def test_a_retry_is_held_to_the_cap_too(world):
    capped = Grant(permissions=DO, selector="n1,n2", max_nodes=1, role="few")
    ana = Caller(name="ana", permissions=DO, grants=(capped,))
    job = await world.submit("n1,n2")
    for node in ("n1", "n2"):
        await world.report(job.id, node, TaskState.FAILED)
    with pytest.raises(Denied, match="at most 1"):
        await world.room.retry.retry(ana, job.id)
    await world.room.retry.retry(ana, job.id, ["n1"])


async def test_seeing_a_job_is_not_seeing_its_output(world):
    job = await world.submit("all")
    world.log.say("n1", b"one", job=job.id)
    world.log.say("n2", b"two", job=job.id)
    some = person(({"exec.read"}, "n1,n2"), ({"output.read"}, "n1"))
    found = await world.room.listing.get(some, job.id, with_output=True)
    assert [task.node for task in found.tasks] == ["n1", "n2"]
    assert found.output == {"n1": ("one", "")}
    none = person(({"exec.read"}, "n1,n2"))
    token = Caller(name="token", permissions=frozenset({"exec.read"}))
    for caller in (none, token):
        with pytest.raises(Denied, match="output"):
            await world.room.listing.get(caller, job.id, with_output=True)
        with pytest.raises(Denied, match="output"):
            await world.room.watching.job(caller, job.id, output=True)


async def test_a_watcher_hears_nothing_of_nodes_outside(world, eventually):
    job = await world.submit("all")
    events = []
    hear = events.append

    async def read(caller):
        async with aclosing(await world.room.watching.job(caller, job.id, output=True)) as watched:
            async for event in watched:
                hear(event)

    tasks = TaskSet("watcher")
    reading = tasks.start(read(ANA), name="read")
    await eventually(lambda: events)
    for node in ("n3", "n1", "n2"):
        world.log.say(node, node.encode(), job=job.id)
        await world.report(job.id, node, TaskState.SUCCEEDED, exit_code=0)
    await asyncio.wait_for(reading, 5)
    await tasks.close()
    assert {task.node for event in events if isinstance(event, Snapshot | TasksChanged) for task in event.tasks} == {
        "n1",
        "n2",
    }
    assert {event.node for event in events if isinstance(event, OutputChunk)} == {"n1", "n2"}
    assert isinstance(events[-1], End) and any(isinstance(event, JobChanged) for event in events)
    stored = [event async for event in await world.room.watching.output(BEN, job.id)]
    assert [event.node for event in stored[:-1]] == ["n3"]


async def test_nobody_without_grants_costs_a_query_more(world):
    job = await world.submit("all")

    async def nodes(job):
        raise AssertionError("nobody asks")

    world.queries.nodes = nodes
    await world.room.listing.get(world.caller, job.id)
    await world.room.cancellation.cancel(world.caller, job.id)
    everywhere = person((DO, "all"))
    await world.room.listing.get(everywhere, job.id)
