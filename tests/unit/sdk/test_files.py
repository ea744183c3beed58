"""Uploads of the client: in parts, past broken connections, never twice; and nobody there is said at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import corral
from corral.domain.errors import Invalid, NotFound, Unavailable
from corral.sdk.files import PART_BYTES, FileTask
from corral.testing.fake_api import TOKEN, FakeApi, node
from corral.testing.ports import free_port

DATA = os.urandom(2 * PART_BYTES + 7)


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi([node("web-1")]) as server:
        yield server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "big").write_bytes(DATA)
    return tmp_path / "big"


async def test_a_file_goes_up_in_parts_and_comes_back(api: FakeApi, source: Path) -> None:
    seen: list[tuple[int, int]] = []
    async with corral.connect(api.url, TOKEN) as fleet:
        made = await fleet.files.upload(source, progress=lambda done, total: seen.append((done, total)))
        got = b"".join([part async for part in fleet.files.content(str(source))])
    assert (made.source_path, made.revision, made.size) == (str(source), 1, len(DATA))
    assert seen == [(offset, len(DATA)) for offset in (0, PART_BYTES, 2 * PART_BYTES, len(DATA))]
    assert got == DATA


@pytest.mark.parametrize("broken", [1, 2, 3, 4])
async def test_answers_that_are_lost_repeat_nothing(api: FakeApi, source: Path, broken: int) -> None:
    async with corral.connect(api.url, TOKEN) as fleet:
        await fleet.nodes.list()
        api.break_answers = broken
        made = await fleet.files.upload(source)
    assert made.digest in api.files.blobs
    assert api.files.parts == [(0, PART_BYTES), (PART_BYTES, PART_BYTES), (2 * PART_BYTES, 7)]


async def test_the_same_bytes_under_another_name_are_not_sent(api: FakeApi, source: Path) -> None:
    async with corral.connect(api.url, TOKEN) as fleet:
        await fleet.files.upload(source, source_path="a")
        sent = len(api.files.parts)
        await fleet.files.upload(source, source_path="b")
        assert [item.source_path for item in await fleet.files.list()] == ["a", "b"]
    assert len(api.files.parts) == sent


async def test_a_server_that_is_not_there_is_said_at_once(source: Path) -> None:
    async with corral.connect(f"http://127.0.0.1:{free_port()}", TOKEN) as fleet:
        with pytest.raises(Unavailable):
            await fleet.files.upload(source)


async def test_what_cannot_be_read_is_invalid(api: FakeApi, tmp_path: Path) -> None:
    async with corral.connect(api.url, TOKEN) as fleet:
        with pytest.raises(Invalid):
            await fleet.files.upload(tmp_path / "none")
        with pytest.raises(NotFound):
            await fleet.files.history("none")


def test_a_file_task_says_what_was_given_and_nothing_else() -> None:
    task = FileTask(target="all", op="apply", source="a", dest="/a", backup=False, timeout=5.0, name="x")
    assert task.body() == {
        "target": "all",
        "name": "x",
        "timeout": 5.0,
        "kind": "file",
        "file": {"op": "apply", "source": "a", "dest": "/a", "backup": False},
    }
