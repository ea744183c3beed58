import pytest

from corral.domain.errors import Invalid, NotFound
from corral.domain.task import TaskState


async def texts(world, job):
    tasks = (await world.queries.tasks(job.id)).items
    return await world.room.output.previews(world.caller, job.id, tasks)


async def test_a_preview_puts_both_streams_in_order_and_replaces_what_is_not_utf8(world):
    job = await world.submit("n1")
    world.log.say("n1", b"b", job=job.id, offset=1)
    world.log.say("n1", b"\xff!", job=job.id, stream="stderr")
    world.log.say("n1", b"a", job=job.id, offset=0)
    world.log.say("n1", b"a", job=job.id, offset=0)
    await world.report(job.id, "n1", TaskState.SUCCEEDED, stdout_bytes=2, stderr_bytes=2)
    assert (await texts(world, job))["n1"] == ("ab", "\ufffd!")


async def test_a_preview_is_cut_at_its_cap_and_the_other_stream_is_still_found(world):
    job = await world.submit("n1")
    for i in range(4):
        world.log.say("n1", b"x" * 50_000, job=job.id, offset=i * 50_000)
    world.log.say("n1", b"oops", job=job.id, stream="stderr")
    await world.report(job.id, "n1", TaskState.FAILED, exit_code=1, stdout_bytes=200_000, stderr_bytes=4)
    stdout, stderr = (await texts(world, job))["n1"]
    assert (stdout, stderr) == ("x" * 65536, "oops")


async def test_a_hole_is_written_where_it_is(world):
    job = await world.submit("n1")
    world.log.say("n1", b"head\n", job=job.id)
    world.log.say("n1", b"tail\n", job=job.id, offset=105, skipped=100)
    await world.report(job.id, "n1", TaskState.SUCCEEDED, stdout_bytes=110, truncated=True)
    assert (await texts(world, job))["n1"][0] == "head\n\n[100 bytes left out: beyond the output cap]\ntail\n"


async def test_output_of_an_earlier_attempt_is_not_shown_as_the_current_one(world):
    job = await world.submit("n1")
    world.log.say("n1", b"first", job=job.id)
    await world.report(job.id, "n1", TaskState.FAILED, exit_code=1, stdout_bytes=5)
    await world.room.retry.retry(world.caller, job.id)
    world.log.say("n1", b"second", job=job.id, attempt=2)
    await world.report(job.id, "n1", TaskState.SUCCEEDED, attempt=2, stdout_bytes=6)
    assert (await texts(world, job))["n1"][0] == "second"


async def test_many_small_outputs_are_read_in_one_pass_and_silent_tasks_not_at_all(world):
    world.fleet.nodes = [f"n{i}" for i in range(40)]
    job = await world.submit()
    for node in world.fleet.nodes:
        if node != "n7":
            world.log.say(node, node.encode(), job=job.id)
        await world.report(job.id, node, TaskState.SUCCEEDED, stdout_bytes=0 if node == "n7" else len(node))
    reads = []
    read = world.log.read

    async def counting(*args, **kwargs):
        reads.append(kwargs["node"])
        return await read(*args, **kwargs)

    world.log.read = counting
    shown = await texts(world, job)
    assert shown["n39"] == ("n39", "") and shown["n7"] == ("", "")
    assert reads == [None]


async def test_raw_output_is_exact_and_free_of_duplicates(world):
    job = await world.submit("n1")
    data = bytes(range(256)) * 10
    for start in (1000, 0, 500, 2000, 0, 1500):
        world.log.say("n1", data[start : start + 600], job=job.id, offset=start)
    world.log.say("n1", b"other", job=job.id, stream="stderr")
    raw = await world.room.output.raw(world.caller, job.id, "n1", "stdout")
    assert b"".join([part async for part in raw]) == data


async def test_a_stream_or_node_that_does_not_exist_is_said_before_the_first_byte(world):
    job = await world.submit("n1")
    with pytest.raises(Invalid, match="stdout or stderr"):
        await world.room.output.raw(world.caller, job.id, "n1", "stdlog")
    with pytest.raises(NotFound):
        await world.room.output.raw(world.caller, job.id, "n2", "stdout")


async def test_a_listing_with_output_holds_at_most_a_bounded_number_of_tasks(world):
    world.fleet.nodes = [f"n{i:03}" for i in range(300)]
    job = await world.submit()
    page = await world.room.listing.get(world.caller, job.id, with_output=True)
    assert len(page.tasks) == 250 and page.next is not None
    rest = await world.room.listing.get(world.caller, job.id, with_output=True, cursor=page.next)
    assert len(rest.tasks) == 50 and rest.next is None
    with pytest.raises(Invalid):
        await world.room.listing.get(world.caller, job.id, limit=0)
    assert len((await world.room.listing.list(world.caller)).items) == 1
