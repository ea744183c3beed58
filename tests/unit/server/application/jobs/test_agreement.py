import pytest

from corral.domain.task import TaskState
from corral.protocol.digest import EMPTY, digest
from corral.server.application.jobs.agreement import RECHECK_SECONDS, DigestWatch


@pytest.fixture
def watch(world):
    return DigestWatch(
        queries=world.queries, down=world.down, digest=digest, clock=world.clock, counters=world.counters
    )


async def test_two_mismatching_beats_in_a_row_make_a_node_sync_and_one_does_not(world, watch):
    job = await world.submit("n1")
    await world.report(job.id, "n1", TaskState.RUNNING)
    await watch.observe({"n1": EMPTY})
    assert world.down.poked == []
    await watch.observe({"n1": EMPTY})
    assert world.down.poked == ["n1"]
    await watch.observe({"n1": EMPTY})
    assert world.down.poked == ["n1"]


async def test_an_agreeing_beat_in_between_starts_the_count_anew(world, watch):
    job = await world.submit("n1")
    await world.report(job.id, "n1", TaskState.RUNNING)
    for said in (EMPTY, digest([(job.id, 1)]), EMPTY):
        await watch.observe({"n1": said, "n2": EMPTY})
    assert world.down.poked == []


async def test_a_node_that_agreed_is_not_looked_up_again_for_a_while(world, watch):
    asked = []
    real = world.queries.open_digests

    async def counting(nodes):
        asked.append(list(nodes))
        return await real(nodes)

    world.queries.open_digests = counting
    for _ in range(3):
        await watch.observe({"n1": EMPTY, "n2": ""})
    assert asked == [["n1"]]
    await world.clock.advance(RECHECK_SECONDS)
    await watch.observe({"n1": EMPTY})
    watch.forget("n1")
    await watch.observe({"n1": EMPTY})
    assert len(asked) == 3
