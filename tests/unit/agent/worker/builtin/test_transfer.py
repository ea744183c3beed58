"""Bytes on their way: damage is refused, a cut is survived, a dead worker's half is used, and what is shared is fetched once."""

import asyncio
import hashlib
import json
import os

import pytest

from corral.agent.link.port import LinkDown, LinkMessage
from corral.domain.artifact import PLAIN_CHUNK_BYTES
from corral.testing.blobs import SealedBlob

CHUNKS = 40
SIZE = CHUNKS * PLAIN_CHUNK_BYTES - 1000


@pytest.fixture
def data():
    return os.urandom(SIZE)


class Halfway:
    """Holds the engine's answer to the first question beyond chunk 20 until `release`."""

    def __init__(self, plane):
        self.reached, self.release = asyncio.Event(), asyncio.Event()
        plane.object_hook = self

    async def __call__(self, ask):
        if ask["seq"] > 20 and not self.reached.is_set():
            self.reached.set()
            await self.release.wait()


def asked(rig):
    return rig.plane.blobs.asked


async def test_a_large_file_comes_in_batches_and_is_kept_for_the_next_task(rig, tmp_path, data):
    blob = SealedBlob.of(data)
    rig.plane.file(blob=blob, dest=str(tmp_path / "a"))
    assert (await rig.plane.end())["state"] == "succeeded"
    assert (tmp_path / "a").read_bytes() == data
    assert sum(min(a["batch"], CHUNKS) for a in asked(rig)) >= CHUNKS
    assert len(asked(rig)) < CHUNKS / 4
    before = len(asked(rig))
    rig.plane.push(
        "task", rig.plane.task("J2", kind="file", op="apply", source="it", dest=str(tmp_path / "b"), **blob.spec())
    )
    assert (await rig.plane.end("J2"))["result"]["changed"] is True
    assert (tmp_path / "b").read_bytes() == data
    assert len(asked(rig)) == before
    assert os.listdir(rig.state.blobs) == [blob.digest]


async def test_a_kept_blob_that_was_damaged_on_disk_is_noticed_and_fetched_again(rig, tmp_path, data):
    blob = SealedBlob.of(data)
    rig.plane.file(blob=blob, dest=str(tmp_path / "a"))
    await rig.plane.end()
    with open(rig.state.blobs / blob.digest, "r+b") as file:
        file.seek(SIZE // 2)
        file.write(b"damage")
    rig.plane.push(
        "task", rig.plane.task("J2", kind="file", op="apply", source="it", dest=str(tmp_path / "b"), **blob.spec())
    )
    assert (await rig.plane.end("J2"))["state"] == "succeeded"
    assert (tmp_path / "b").read_bytes() == data


async def test_tasks_of_one_digest_share_one_download(rig, tmp_path, data):
    blob = SealedBlob.of(data)
    gate = asyncio.Event()

    async def hook(ask):
        await gate.wait()

    rig.plane.object_hook = hook
    for number in range(5):
        rig.plane.file(job=f"J{number}", blob=blob, dest=str(tmp_path / f"f{number}"))
    await rig.plane.until(lambda: len(rig.worker.status()["running"]) == 5)
    # one of them is cancelled: the others still get it
    rig.plane.push("cancel", rig.plane.cancel("J0"))
    assert (await rig.plane.end("J0"))["state"] == "cancelled"
    gate.set()
    for number in range(1, 5):
        assert (await rig.plane.end(f"J{number}"))["state"] == "succeeded"
        assert (tmp_path / f"f{number}").read_bytes() == data
    # a batch asked for is cut at what is missing, so anything beyond this was fetched twice
    assert sum(min(a["batch"], CHUNKS) for a in asked(rig)) <= CHUNKS


@pytest.mark.parametrize("number", [0, 17, CHUNKS - 1])
async def test_a_corrupt_chunk_fails_naming_it_and_leaves_the_target_alone(rig, tmp_path, data, number):
    dest = tmp_path / "f"
    dest.write_bytes(b"old")
    rig.plane.file(blob=SealedBlob.of(data).damaged(number), dest=str(dest))
    end = await rig.plane.end()
    assert end["state"] == "failed" and f"chunk {number + 1} of {CHUNKS}" in end["detail"], end
    assert dest.read_bytes() == b"old"
    assert [name for name in os.listdir(tmp_path) if name.startswith(".corral")] == []


async def test_a_chunk_that_was_only_damaged_on_its_way_is_asked_for_again(rig, tmp_path, data):
    good = SealedBlob.of(data)
    served = rig.plane.blobs.answers

    def answers(ask):
        found = served(ask)
        if len(asked(rig)) == 2:
            found[1] = LinkMessage("", good.damaged(8).chunks[8], headers=found[1].headers)
        return found

    rig.plane.file(blob=good, dest=str(tmp_path / "f"))
    rig.plane.blobs.answers = answers
    end = await rig.plane.end()
    assert end["state"] == "succeeded", end
    assert (tmp_path / "f").read_bytes() == data


async def test_chunks_in_another_order_do_not_open(rig, tmp_path, data):
    good = SealedBlob.of(data)
    swapped = type(good)(
        digest=good.digest, size=good.size, key=good.key, nuid=good.nuid,
        chunks=(good.chunks[1], good.chunks[0], *good.chunks[2:]),
    )  # fmt: skip
    rig.plane.file(blob=swapped, dest=str(tmp_path / "f"))
    assert (await rig.plane.end())["state"] == "failed"
    assert not (tmp_path / "f").exists()


async def test_bytes_that_are_not_what_was_signed_are_refused(rig, tmp_path, data):
    lied = SealedBlob.of(data, digest=hashlib.sha256(b"something else").hexdigest())
    rig.plane.file(blob=lied, dest=str(tmp_path / "f"))
    end = await rig.plane.end()
    assert end["state"] == "failed" and "SHA-256" in end["detail"]
    assert not (tmp_path / "f").exists()
    assert os.listdir(rig.state.blobs) == []


@pytest.mark.parametrize("held", [0, 1, 25, CHUNKS - 1])
async def test_a_truncated_blob_fails_saying_how_much_is_there(rig, tmp_path, data, held, monkeypatch):
    monkeypatch.setattr("corral.agent.worker.builtin.blobs._MISSING_TRIES", 2)
    rig.plane.blobs.add(blob := SealedBlob.of(data))
    rig.plane.push(
        "task", rig.plane.task(kind="file", op="apply", source="it", dest=str(tmp_path / "f"), **blob.spec())
    )
    rig.plane.blobs._stored[blob.nuid] = (1, blob.cut(held))
    end = await rig.plane.end()
    assert end["state"] == "failed" and f"holds {held} of its {CHUNKS}" in end["detail"], end


async def test_a_spec_whose_chunks_do_not_fit_its_size_is_refused(rig, tmp_path):
    spec = SealedBlob.of(b"x").spec()
    for job, change in (("J1", {"size": 10_000_000}), ("J2", {"blob": {**spec["blob"], "chunks": 2}})):
        rig.plane.push(
            "task",
            rig.plane.task(job, kind="file", op="apply", source="it", dest=str(tmp_path / "f"), **{**spec, **change}),
        )
        end = await rig.plane.end(job)
        assert end["state"] == "failed" and "chunks cannot hold" in end["detail"]


async def test_after_a_cut_of_the_link_it_goes_on_at_the_last_good_chunk(rig, tmp_path, data):
    cut_at = 12

    async def hook(ask):
        if ask["seq"] > cut_at and rig.link.connected and not hook.done:
            hook.done = True
            rig.link.drop()
            rig.tasks.start(back(), name="back")

    async def back():
        await asyncio.sleep(0.05)
        await rig.link.connect()

    hook.done = False
    rig.plane.object_hook = hook
    original = rig.link.request_many

    async def request_many(subject, data, *, timeout_seconds=10.0):
        answer = await original(subject, data, timeout_seconds=timeout_seconds)
        if not rig.link.connected:
            raise LinkDown("cannot reach the engine: the connection ended")
        return answer

    rig.link.request_many = request_many
    rig.plane.file(blob=SealedBlob.of(data), dest=str(tmp_path / "f"))
    end = await rig.plane.end()
    assert end["state"] == "succeeded" and hook.done
    assert (tmp_path / "f").read_bytes() == data
    assert [a["seq"] for a in asked(rig)].count(1) == 1, "it began anew"


async def test_a_killed_worker_goes_on_from_the_last_good_chunk_and_reports_once(child, tmp_path, data):
    dest = tmp_path / "f"
    halfway = Halfway(child.plane)
    await child.start()
    child.plane.file(blob=SealedBlob.of(data), dest=str(dest))
    await asyncio.wait_for(halfway.reached.wait(), 10)
    # the batch before is written while the next is on its way: wait until its record is there
    record = next(p for p in (child.root / "blobs").iterdir() if p.suffix == ".at")
    await child.plane.until(lambda: int(record.read_bytes().split()[1]) >= 20)
    child.kill()
    halfway.release.set()
    assert not dest.exists()
    before = len(child.plane.blobs.asked)
    await child.start()
    end = await child.plane.end()
    assert end["state"] == "succeeded" and end["result"]["changed"] is True
    assert dest.read_bytes() == data
    assert min(a["seq"] for a in child.plane.blobs.asked[before:]) > 20
    assert len({json.dumps(e["result"]) for e in child.plane.ends()}) == 1


async def test_another_copy_of_the_same_bytes_is_fetched_from_its_beginning(child, tmp_path, data):
    """The engine's store was wiped and the file uploaded again: sequences of the old object say nothing any more."""
    halfway = Halfway(child.plane)
    await child.start()
    first = SealedBlob.of(data)
    child.plane.file(blob=first, dest=str(tmp_path / "f"), timeout=300)
    await asyncio.wait_for(halfway.reached.wait(), 10)
    child.kill()
    halfway.release.set()
    record = next(p for p in (child.root / "blobs").iterdir() if p.suffix == ".at")
    record.write_bytes(record.read_bytes().replace(first.nuid.encode(), b"0" * len(first.nuid)))
    await child.start()
    assert (await child.plane.end())["state"] == "succeeded"
    assert (tmp_path / "f").read_bytes() == data


@pytest.mark.parametrize("damage", ["bytes", "record"])
async def test_a_partial_file_that_lies_is_found_out_and_fetched_anew(child, tmp_path, data, damage):
    halfway = Halfway(child.plane)
    await child.start()
    child.plane.file(blob=SealedBlob.of(data), dest=str(tmp_path / "f"))
    await asyncio.wait_for(halfway.reached.wait(), 10)
    part = next(p for p in (child.root / "blobs").iterdir() if p.suffix == ".part")
    await child.plane.until(lambda: part.stat().st_size >= 8 * PLAIN_CHUNK_BYTES)
    child.kill()
    halfway.release.set()
    if damage == "bytes":
        with part.open("r+b") as file:
            file.write(b"lies")
    else:
        part.with_suffix(".at").write_bytes(b"what is this")
    await child.start()
    assert (await child.plane.end())["state"] == "succeeded"
    assert (tmp_path / "f").read_bytes() == data


async def test_a_bandwidth_limit_is_kept(rig, tmp_path, data):
    loop = asyncio.get_running_loop()
    began = loop.time()
    rig.plane.file(blob=SealedBlob.of(data), dest=str(tmp_path / "f"), bandwidth=SIZE)
    assert (await rig.plane.end())["state"] == "succeeded"
    # a burst of a quarter second is free
    assert 0.5 < loop.time() - began < 5


async def test_the_cache_stays_within_its_bound_and_the_oldest_goes(make_rig, tmp_path):
    rig = make_rig(blob_cache_bytes=2_500_000)
    await (await rig.start()).synced()
    blobs = [SealedBlob.of(os.urandom(1_000_000)) for _ in range(4)]
    for number, blob in enumerate(blobs):
        rig.plane.file(job=f"J{number}", blob=blob, dest=str(tmp_path / f"f{number}"))
        assert (await rig.plane.end(f"J{number}"))["state"] == "succeeded"
    assert set(os.listdir(rig.state.blobs)) == {blobs[2].digest, blobs[3].digest}
    none = make_rig("none", blob_cache_bytes=0)
    await (await none.start()).synced()
    none.plane.file(blob=blobs[0], dest=str(tmp_path / "g"))
    assert (await none.plane.end())["state"] == "succeeded"
    assert os.listdir(none.state.blobs) == []
