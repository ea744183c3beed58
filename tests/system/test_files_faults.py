"""What goes wrong with files, on a running stack: bytes altered in the engine's store, a digest that is not so, targets that are none."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from corral.bus import jetstream
from corral.bus.realm import Realm
from corral.domain.errors import Invalid
from corral.protocol import topology
from corral.runtime.clock import SystemClock
from corral.sdk.jobs import Task
from corral.testing.stack import Stack

pytestmark = [pytest.mark.engine, pytest.mark.slow]
CLOCK = SystemClock()
CHUNK = 3


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    async with Stack.temporary() as made:
        await made.simulate(2, processes=1)
        yield made


async def apply(stack: Stack, source: Path, dest: Path, **options: object) -> Task:
    handle = await stack.fleet.files.apply(str(source), str(dest), on="sim-00001", **options)
    return (await handle.wait()).tasks[0]


async def alter_in_store(stack: Stack, number: int) -> None:
    """One bit of one stored chunk becomes another; the engine itself sees nothing wrong with it."""
    realm = Realm.load(stack.data / "keys" / "realm.json", CLOCK)
    bus = await jetstream.connect([f"nats://127.0.0.1:{stack.engine_port}"], realm=realm)
    try:
        ((name, _),) = await bus.objects.names("artifacts")
        subject = topology.object_chunks("artifacts", str(await bus.objects.nuid("artifacts", name)))
        stream = topology.bucket_stream("artifacts")
        chunks = [message.data for message in await bus.streams.read(stream, subject)]
        chunks[number] = bytes([chunks[number][0] ^ 1]) + chunks[number][1:]
        await bus.streams.purge(stream, subject)
        for chunk in chunks:
            await bus.wire.publish(subject, chunk)
        while len(await bus.streams.read(stream, subject)) < len(chunks):
            await CLOCK.sleep(0.01)
    finally:
        await bus.close()


async def test_a_chunk_that_was_altered_in_the_engine_is_refused_and_another_upload_heals_it(
    stack: Stack, tmp_path: Path
) -> None:
    source, dest = tmp_path / "source", tmp_path / "dest"
    source.write_bytes(os.urandom(1_000_000))
    dest.write_text("as it was")
    await stack.fleet.files.upload(source)
    await alter_in_store(stack, CHUNK)
    task = await apply(stack, source, dest)
    assert task.state == "failed"
    assert f"chunk {CHUNK + 1} of 8 was altered" in (task.detail or "")
    assert dest.read_text() == "as it was"
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["dest", "source"]
    await stack.fleet.files.upload(source)
    task = await apply(stack, source, dest)
    assert task.succeeded, task.detail
    assert dest.read_bytes() == source.read_bytes()


async def test_a_file_that_is_not_the_one_meant_ships_nothing(stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("another file")
    with pytest.raises(Invalid, match="its SHA-256 is") as caught:
        await stack.fleet.files.upload(source, sha256=hashlib.sha256(b"the file").hexdigest())
    assert caught.value.element == "sha256"
    assert await stack.fleet.files.list() == []


def link(path: Path) -> None:
    path.symlink_to(path.parent / "secret")


def way_link(path: Path) -> None:
    path.parent.joinpath("real").mkdir()
    path.symlink_to("real")


def device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))


@pytest.mark.parametrize(
    ("make", "below", "words"),
    [
        (link, "", "link"),
        (way_link, "file", "link"),
        (os.mkfifo, "", "regular"),
        (Path.mkdir, "", "regular"),
        pytest.param(
            device, "", "regular", marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
        ),
    ],
    ids=["link", "link on the way", "fifo", "folder", "device"],
)
async def test_a_target_that_is_no_regular_file_is_named_and_left_alone(
    stack: Stack, tmp_path: Path, make: Callable[[Path], object], below: str, words: str
) -> None:
    (tmp_path / "secret").write_text("mine")
    source, dest = tmp_path / "source", tmp_path / "dest"
    source.write_text("new")
    make(dest)
    before = os.lstat(dest)
    await stack.fleet.files.upload(source)
    task = await apply(stack, source, dest / below if below else dest)
    assert task.state == "failed"
    assert words in (task.detail or "")
    assert str(dest) in (task.detail or "")
    after = os.lstat(dest)
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert (tmp_path / "secret").read_text() == "mine"
    assert not (tmp_path / "real" / "file").exists()


async def test_a_way_up_is_refused_before_anything_is_sent(stack: Stack, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("new")
    await stack.fleet.files.upload(source)
    with pytest.raises(Invalid) as caught:
        await apply(stack, source, tmp_path / ".." / "dest")
    assert caught.value.element == "dest"


async def test_a_jobs_bandwidth_is_shared_by_its_nodes(stack: Stack, tmp_path: Path) -> None:
    """Two nodes, a mebibyte a second together: three mebibytes each take seconds, not the blink they take without a limit."""
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3 << 19))
    await stack.fleet.files.upload(source)
    began = CLOCK.monotonic()
    handle = await stack.fleet.files.apply(
        str(source), f"{tmp_path}/{{{{ node.id }}}}", on="all", job_bandwidth=1 << 20, bandwidth=1 << 30
    )
    job = await handle.wait()
    assert job.succeeded, job.tasks
    assert CLOCK.monotonic() - began > 1.5
    assert [path.read_bytes() == source.read_bytes() for path in tmp_path.glob("sim-*")] == [True, True]
