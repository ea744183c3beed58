import asyncio

import pytest

from corral.protocol.messages import HEADER_OFFSET, HEADER_SKIPPED, HEADER_STREAM
from corral.server.infrastructure.nats.output import NatsOutputLog

JOB = "J" + "0" * 18
OTHER = "J" + "1" * 18


@pytest.fixture
def log(bench):
    return NatsOutputLog(streams=bench.bus.streams, counters=bench.counters)


def say(bench, node, data, *, job=JOB, attempt=1, **headers):
    given = {HEADER_STREAM: "stdout", HEADER_OFFSET: "0", **headers}
    bench.bus.arrive(
        f"corral.up.{node}.output.{job}.{attempt}", data, {k: v for k, v in given.items() if v is not None}
    )


async def test_chunks_of_a_job_are_read_in_order_with_what_their_headers_say(bench, log):
    say(bench, "n1", b"a")
    say(bench, "n1", b"other", job=OTHER)
    say(bench, "n2", b"b", attempt=2, **{HEADER_STREAM: "stderr", HEADER_OFFSET: "7", HEADER_SKIPPED: "3"})
    chunks = await log.read(JOB)
    assert [(c.sequence, c.node, c.attempt, c.stream, c.offset, c.skipped, c.data) for c in chunks] == [
        (1, "n1", 1, "stdout", 0, 0, b"a"),
        (3, "n2", 2, "stderr", 7, 3, b"b"),
    ]
    assert await log.read(JOB, node="n2") == [chunks[1]]
    assert await log.read(JOB, after=1, limit=1) == [chunks[1]]
    assert await log.read(JOB, after=3) == []
    assert await log.end() == 3


async def test_chunks_without_usable_headers_are_passed_over_and_counted(bench, log):
    for headers in (
        {HEADER_STREAM: None},
        {HEADER_OFFSET: "x"},
        {HEADER_OFFSET: "-1"},
        {HEADER_STREAM: "stdlog"},
        {HEADER_SKIPPED: "9"},
    ):
        say(bench, "n1", b"bad", **headers)
    say(bench, "n1", b"good")
    assert [c.data for c in await log.read(JOB, limit=2)] == [b"good"]
    assert bench.counters["output_bad_chunks_total"] >= 5


async def test_a_follower_gets_what_is_stored_and_then_what_comes(bench, log):
    say(bench, "n1", b"a")
    got = []

    async def follow():
        async for chunk in log.follow(JOB):
            got.append(chunk.data)
            if len(got) == 2:
                return

    following = asyncio.gather(follow())
    while not got:
        await asyncio.sleep(0.001)
    say(bench, "n1", b"b", **{HEADER_OFFSET: "1"})
    await asyncio.wait_for(following, 5)
    assert got == [b"a", b"b"]


async def test_dropping_a_job_leaves_the_output_of_others(bench, log):
    say(bench, "n1", b"a")
    say(bench, "n1", b"b", job=OTHER)
    await log.drop(JOB)
    assert await log.read(JOB) == []
    assert [c.data for c in await log.read(OTHER)] == [b"b"]
