"""What port.py promises, over the engine in memory and the real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from corral.bus.port import BusError, NoResponder, NotFoundOnBus
from corral.protocol import subjects, topology


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def collect(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in stream])


# -- wire


async def test_a_message_down_reaches_only_its_node(rig: Any, eventually: Any) -> None:
    await rig.join("web-1")
    await rig.join("web-2")
    await rig.bus.wire.publish(subjects.down("web-1", "task"), b"one")
    await rig.bus.wire.publish(subjects.down("web-2", "cancel"), b"two")
    await rig.bus.wire.flush()
    await eventually(lambda: len(rig.heard) == 2, "both messages arrived")
    assert sorted(rig.heard) == [("corral.down.web-1.task", b"one"), ("corral.down.web-2.cancel", b"two")]


async def test_messages_to_one_node_keep_their_order(rig: Any, eventually: Any) -> None:
    await rig.join("web-1")
    for number in range(500):
        await rig.bus.wire.publish(subjects.down("web-1", "task"), b"%d" % number)
    await eventually(lambda: len(rig.heard) == 500, "all arrived")
    assert [data for _, data in rig.heard] == [b"%d" % number for number in range(500)]


async def test_a_live_node_answers_and_an_absent_one_is_known_at_once(rig: Any) -> None:
    await rig.join("web-1")
    await rig.answer("web-1", subjects.rpc("web-1", "status"), b"fine")
    assert await rig.bus.wire.request(subjects.rpc("web-1", "status"), b"?", timeout_seconds=2) == b"fine"
    async with asyncio.timeout(1):
        with pytest.raises(NoResponder):
            await rig.bus.wire.request(subjects.rpc("web-2", "status"), b"?", timeout_seconds=30)


# -- work queues


async def test_reports_are_handed_out_once_and_gone_when_acknowledged(rig: Any) -> None:
    await rig.join("web-1")
    for number in range(10):
        answer = await rig.send("web-1", subjects.up("web-1", "report"), b"%d" % number)
        assert answer["seq"] == number + 1
    batches = rig.bus.streams.batches(subjects.REPORTS, topology.INGEST)
    got: list[Any] = []
    while len(got) < 10:
        got += await batches.next(limit=4, wait_seconds=2)
    assert [message.data for message in got] == [b"%d" % number for number in range(10)]
    assert [message.sequence for message in got] == list(range(1, 11))
    assert got[0].subject == subjects.up("web-1", "report")
    await batches.ack(got)
    assert await batches.next(limit=4, wait_seconds=0.2) == []
    async with asyncio.timeout(5):
        while (await rig.bus.streams.usage())[subjects.REPORTS]["messages"]:
            await asyncio.sleep(0.01)


async def test_a_batch_waits_for_its_first_message_only(rig: Any) -> None:
    await rig.join("web-1")
    batches = rig.bus.streams.batches(subjects.REPORTS, topology.INGEST)
    waiting = asyncio.ensure_future(batches.next(limit=100, wait_seconds=10))
    await asyncio.sleep(0.05)
    await rig.send("web-1", subjects.up("web-1", "report"), b"x")
    async with asyncio.timeout(2):
        assert [message.data for message in await waiting] == [b"x"]


async def test_what_is_not_acknowledged_comes_again(rig: Any) -> None:
    await rig.join("web-1")
    await rig.send("web-1", subjects.up("web-1", "report"), b"x")
    batches = rig.bus.streams.batches(subjects.REPORTS, topology.INGEST)
    first = await batches.next(limit=10, wait_seconds=2)
    again = await batches.next(limit=10, wait_seconds=8)
    assert [message.data for message in first] == [message.data for message in again] == [b"x"]


async def test_two_readers_share_the_reports(rig: Any) -> None:
    await rig.join("web-1")
    readers = [rig.bus.streams.batches(subjects.REPORTS, topology.INGEST) for _ in range(2)]
    for number in range(20):
        await rig.send("web-1", subjects.up("web-1", "report"), b"%d" % number)
    got: list[bytes] = []
    async with asyncio.timeout(4):
        while len(got) < 20:
            for reader in readers:
                batch = await reader.next(limit=3, wait_seconds=0.1)
                await reader.ack(batch)
                got += [message.data for message in batch]
    assert len(set(got)) == 20


async def test_one_node_cannot_fill_the_reports_for_others(rig: Any) -> None:
    await rig.join("flood")
    await rig.join("web-1")
    answers = [await rig.send("flood", subjects.up("flood", "report"), b"x") for _ in range(257)]
    assert "error" not in answers[255]
    assert answers[256]["error"]["err_code"] == 10077
    assert "error" not in await rig.send("web-1", subjects.up("web-1", "report"), b"mine")


async def test_the_newest_sync_of_a_node_replaces_the_older(rig: Any) -> None:
    await rig.join("web-1")
    for number in range(3):
        await rig.send("web-1", subjects.up("web-1", "sync"), b"%d" % number)
    batches = rig.bus.streams.batches(subjects.SYNC, subjects.SYNC)
    assert [message.data for message in await batches.next(limit=10, wait_seconds=2)] == [b"2"]


@pytest.mark.parametrize("kind", ["facts", "metrics"])
async def test_facts_and_metrics_have_their_own_queue(rig: Any, kind: str) -> None:
    await rig.join("web-1")
    await rig.send("web-1", subjects.up("web-1", kind), b"{}")
    batches = rig.bus.streams.batches(kind, kind)
    got = await batches.next(limit=10, wait_seconds=2)
    assert [message.data for message in got] == [b"{}"]
    await batches.ack(got)


async def test_a_reader_goes_on_after_the_engine_was_killed(rig: Any) -> None:
    await rig.join("web-1")
    batches = rig.bus.streams.batches(subjects.REPORTS, topology.INGEST)
    await rig.send("web-1", subjects.up("web-1", "report"), b"before")
    got = await batches.next(limit=10, wait_seconds=2)
    await batches.ack(got)
    await rig.interrupt()
    await rig.send("web-1", subjects.up("web-1", "report"), b"after")
    seen: list[bytes] = []
    async with asyncio.timeout(15):
        while b"after" not in seen:
            batch = await batches.next(limit=10, wait_seconds=1)
            seen += [message.data for message in batch]
            await batches.ack(batch)


# -- last values


async def test_only_the_last_beat_of_each_node_is_kept_and_polled(rig: Any) -> None:
    await rig.join("web-1")
    await rig.join("web-2")
    for number in range(3):
        await rig.send("web-1", subjects.up("web-1", "beat"), b"a%d" % number)
        await rig.send("web-2", subjects.up("web-2", "beat"), b"b%d" % number)
    first = await rig.bus.streams.latest(subjects.BEATS, 0)
    assert sorted(message.data for message in first) == [b"a2", b"b2"]
    assert await rig.bus.streams.latest(subjects.BEATS, first[-1].sequence) == []
    await rig.send("web-1", subjects.up("web-1", "beat"), b"a3")
    newer = await rig.bus.streams.latest(subjects.BEATS, first[-1].sequence)
    assert [message.data for message in newer] == [b"a3"]


async def test_beats_are_seen_again_after_the_engine_lost_its_memory(rig: Any) -> None:
    await rig.join("web-1")
    for _ in range(5):
        await rig.send("web-1", subjects.up("web-1", "beat"), b"old")
    cursor = (await rig.bus.streams.latest(subjects.BEATS, 0))[-1].sequence
    if rig.name == "memory":
        rig.bus.wipe()
    await rig.interrupt()
    await rig.send("web-1", subjects.up("web-1", "beat"), b"new")
    seen: list[bytes] = []
    async with asyncio.timeout(10):
        while b"new" not in seen:
            try:
                seen += [message.data for message in await rig.bus.streams.latest(subjects.BEATS, cursor)]
            except BusError:
                await asyncio.sleep(0.05)


# -- output


async def test_output_is_read_by_job_in_order_with_its_headers(rig: Any) -> None:
    await rig.join("web-1")
    await rig.join("web-2")
    for number in range(5):
        for node in ("web-1", "web-2"):
            headers = {"Corral-Stream": "stdout", "Corral-Offset": str(number)}
            await rig.send(node, subjects.output(node, "J1", 1), b"%d" % number, headers)
        await rig.send("web-1", subjects.output("web-1", "J2", 1), b"other")
    everything = await rig.bus.streams.read(subjects.OUTPUT, subjects.output_filter("J1"))
    assert len(everything) == 10
    assert [message.sequence for message in everything] == sorted(message.sequence for message in everything)
    mine = await rig.bus.streams.read(subjects.OUTPUT, subjects.output_filter("J1", "web-2"))
    assert [message.data for message in mine] == [b"0", b"1", b"2", b"3", b"4"]
    assert mine[3].headers == {"Corral-Stream": "stdout", "Corral-Offset": "3"}
    assert subjects.parse_output(mine[0].subject) == ("web-2", "J1", 1)
    page = await rig.bus.streams.read(subjects.OUTPUT, subjects.output_filter("J1"), limit=4)
    rest = await rig.bus.streams.read(
        subjects.OUTPUT, subjects.output_filter("J1"), from_sequence=page[-1].sequence + 1
    )
    assert [*page, *rest] == list(everything)
    assert await rig.bus.streams.read(subjects.OUTPUT, subjects.output_filter("J9")) == []
    assert await rig.bus.streams.last_sequence(subjects.OUTPUT) == 15


async def test_following_gives_what_is_stored_and_then_what_comes(rig: Any) -> None:
    await rig.join("web-1")
    for number in range(3):
        await rig.send("web-1", subjects.output("web-1", "J1", 1), b"%d" % number)
    follow = rig.bus.streams.follow(subjects.OUTPUT, subjects.output_filter("J1"), from_sequence=2)
    async with asyncio.timeout(5):
        assert [(await anext(follow)).data for _ in range(2)] == [b"1", b"2"]
        waiting = asyncio.ensure_future(anext(follow))
        await asyncio.sleep(0.1)
        await rig.send("web-1", subjects.output("web-1", "J2", 1), b"other job")
        await rig.send("web-1", subjects.output("web-1", "J1", 1), b"live")
        assert (await waiting).data == b"live"
    await follow.aclose()


async def test_what_is_followed_says_when_it_was_stored_as_what_is_read_does(rig: Any) -> None:
    await rig.join("web-1")
    await rig.send("web-1", subjects.output("web-1", "J1", 1), b"one")
    (read,) = await rig.bus.streams.read(subjects.OUTPUT, subjects.output_filter("J1"))
    follow = rig.bus.streams.follow(subjects.OUTPUT, subjects.output_filter("J1"), from_sequence=1)
    async with asyncio.timeout(5):
        followed = await anext(follow)
    await follow.aclose()
    assert read.at > 0
    assert followed.at == pytest.approx(read.at, abs=0.001)


async def test_following_survives_the_engine_without_gap_or_duplicate(rig: Any) -> None:
    await rig.join("web-1")
    subject = subjects.output("web-1", "J1", 1)
    for number in range(5):
        await rig.send("web-1", subject, b"%d" % number)
    follow = rig.bus.streams.follow(subjects.OUTPUT, subjects.output_filter("J1"), from_sequence=1)
    got = [(await anext(follow)).data for _ in range(3)]
    await rig.interrupt()
    for number in range(5, 8):
        await rig.send("web-1", subject, b"%d" % number)
    async with asyncio.timeout(15):
        got += [(await anext(follow)).data for _ in range(5)]
    await follow.aclose()
    assert got == [b"%d" % number for number in range(8)]


async def test_following_a_thousand_messages_keeps_up(rig: Any) -> None:
    await rig.join("web-1")
    subject = subjects.output("web-1", "J1", 1)
    for start in range(0, 1000, 50):
        await asyncio.gather(*(rig.send("web-1", subject, b"%d" % n) for n in range(start, start + 50)))
    follow = rig.bus.streams.follow(subjects.OUTPUT, subjects.output_filter("J1"), from_sequence=1)
    async with asyncio.timeout(10):
        sequences = [(await anext(follow)).sequence for _ in range(1000)]
    await follow.aclose()
    assert sequences == list(range(1, 1001))


async def test_purging_a_subject_leaves_the_others(rig: Any) -> None:
    await rig.join("web-1")
    await rig.send("web-1", subjects.output("web-1", "J1", 1), b"1")
    await rig.send("web-1", subjects.output("web-1", "J2", 1), b"2")
    await rig.bus.streams.purge(subjects.OUTPUT, subjects.output_filter("J1"))
    left = await rig.bus.streams.read(subjects.OUTPUT, subjects.output_filter("*"))
    assert [message.data for message in left] == [b"2"]


async def test_usage_names_every_stream_with_its_bound(rig: Any) -> None:
    await rig.join("web-1")
    await rig.send("web-1", subjects.output("web-1", "J1", 1), b"12345")
    usage = await rig.bus.streams.usage()
    assert set(usage) == {*subjects.STREAMS, "OBJ_artifacts", "OBJ_archive"}
    assert usage["output"]["messages"] == 1
    assert usage["output"]["bytes"] >= 5
    assert all(row["max_bytes"] > 0 for row in usage.values())


async def test_ensuring_the_topology_twice_and_at_once_changes_nothing(rig: Any) -> None:
    await rig.join("web-1")
    await rig.send("web-1", subjects.up("web-1", "report"), b"kept")
    await asyncio.gather(*(rig.bus.streams.ensure_topology() for _ in range(3)))
    await rig.bus.streams.ensure_topology()
    assert (await rig.bus.streams.usage())["reports"]["messages"] == 1


# -- accounts


async def test_links_are_announced_and_listed(rig: Any, eventually: Any) -> None:
    events: list[Any] = []
    early = await rig.join("web-1")
    await rig.bus.accounts.events(events.append)
    key = await rig.join("web-2")
    await eventually(lambda: len(events) == 1, "the connect was announced")
    assert (events[0].key, events[0].name, events[0].connected) == (key, "web-2", True)
    assert await rig.bus.accounts.connected_keys() == {early, key}
    await rig.leave(key)
    await eventually(lambda: len(events) == 2, "the disconnect was announced")
    assert (events[1].key, events[1].name, events[1].connected) == (key, "web-2", False)
    assert await rig.bus.accounts.connected_keys() == {early}


async def test_a_revoked_link_goes_and_the_other_stays(rig: Any, eventually: Any) -> None:
    events: list[Any] = []
    bad, good = await rig.join("web-1"), await rig.join("web-2")
    await rig.bus.accounts.events(events.append)
    await rig.revoke(bad)
    await eventually(lambda: any(event.key == bad and not event.connected for event in events), "it went", 2.0)
    assert await rig.bus.accounts.connected_keys() == {good}


async def test_claims_that_are_no_claims_are_refused(rig: Any) -> None:
    with pytest.raises(BusError):
        await rig.bus.accounts.push_claims("nonsense")


# -- objects


async def test_an_object_comes_back_as_it_was_stored(rig: Any) -> None:
    data = bytes(range(256)) * 2000
    nuid = await rig.bus.objects.put("artifacts", "blob", pieces(data[:100], data[100:300_000], data[300_000:]))
    assert nuid and "." not in nuid
    assert await collect(rig.bus.objects.get("artifacts", "blob")) == data
    assert await rig.bus.objects.exists("artifacts", "blob")
    assert not await rig.bus.objects.exists("archive", "blob")
    chunks = await rig.bus.streams.read("OBJ_artifacts", topology.object_chunks("artifacts", nuid))
    assert b"".join(message.data for message in chunks) == data
    assert {len(message.data) for message in chunks[:-1]} == {topology.OBJECT_CHUNK_BYTES}


async def test_putting_again_replaces_and_leaves_no_bytes_behind(rig: Any) -> None:
    await rig.bus.objects.put("archive", "blob", pieces(b"x" * 1_000_000))
    await rig.bus.objects.put("archive", "blob", pieces(b"short"))
    assert await collect(rig.bus.objects.get("archive", "blob")) == b"short"
    assert (await rig.bus.streams.usage())["OBJ_archive"]["bytes"] < 10_000
    await rig.bus.objects.delete("archive", "blob")
    await rig.bus.objects.delete("archive", "blob")
    assert (await rig.bus.streams.usage())["OBJ_archive"]["messages"] == 0
    with pytest.raises(NotFoundOnBus):
        await collect(rig.bus.objects.get("archive", "blob"))


async def test_the_objects_of_a_bucket_are_listed_with_their_sizes(rig: Any) -> None:
    assert await rig.bus.objects.names("archive") == []
    await rig.bus.objects.put("archive", "b/ä", pieces(b"x" * 300_000))
    await rig.bus.objects.put("archive", "a", pieces(b"1"))
    await rig.bus.objects.put("archive", "a", pieces(b"22"))
    await rig.bus.objects.put("archive", "gone", pieces(b"333"))
    await rig.bus.objects.delete("archive", "gone")
    assert list(await rig.bus.objects.names("archive")) == [("a", 2), ("b/ä", 300_000)]


async def test_an_empty_object_is_an_object(rig: Any) -> None:
    await rig.bus.objects.put("artifacts", "empty", pieces())
    assert await collect(rig.bus.objects.get("artifacts", "empty")) == b""
    assert await rig.bus.objects.exists("artifacts", "empty")


async def test_chunks_that_nobody_named_go_once_they_are_old(rig: Any) -> None:
    """What a server leaves that dies between the first chunk and the name."""
    nuid = await rig.bus.objects.put("archive", "whole", pieces(b"y" * 300_000))
    left = topology.object_chunks("archive", "killedkilledkilled")
    if rig.name == "memory":
        rig.bus.held[topology.bucket_stream("archive")].append(left, b"x" * 1000, {})
    else:
        await rig.bus.wire.publish(left, b"x" * 1000)

    async def held(subject: str) -> int:
        return len(await rig.bus.streams.read(topology.bucket_stream("archive"), subject))

    async with asyncio.timeout(5):
        while not await held(left):
            await asyncio.sleep(0.01)
    now = datetime.now(UTC)
    assert await rig.bus.objects.sweep("archive", before=now - timedelta(days=1)) == 0, "it may still be on its way"
    assert await held(left) == 1
    assert await rig.bus.objects.sweep("archive", before=now + timedelta(minutes=1)) == 1
    assert await held(left) == 0
    assert await held(topology.object_chunks("archive", nuid)) == 3
    assert await collect(rig.bus.objects.get("archive", "whole")) == b"y" * 300_000
    assert await rig.bus.objects.sweep("archive", before=now + timedelta(minutes=1)) == 0
