"""Uploads on disk: resumed at their length, checked at their end, bounded, and gone after a while."""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from corral.domain.artifact import Archive
from corral.domain.errors import Conflict, Invalid, NotFound, OutOfSpace, TooLarge
from corral.server.application.ports.files import Upload
from corral.server.infrastructure.disk.uploads import DiskUploads

NOW = datetime(2026, 11, 21, tzinfo=UTC)
DATA = os.urandom(300_000)
UPLOAD = Upload(
    id="U" + "0" * 18,
    source_path="a/ü",
    size=len(DATA),
    digest=hashlib.sha256(DATA).hexdigest(),
    mode="0640",
    archive=Archive.ZIP,
    created_at=NOW,
    created_by="ada",
)


@pytest.fixture
def staging(tmp_path: Path) -> DiskUploads:
    return DiskUploads(tmp_path / "uploads")


async def test_parts_become_the_whole(staging: DiskUploads) -> None:
    await staging.create(UPLOAD)
    assert await staging.get(UPLOAD.id) == UPLOAD
    assert await staging.append(UPLOAD.id, 0, DATA[:100_000]) == 100_000
    assert (await staging.get(UPLOAD.id)).offset == 100_000
    assert await staging.append(UPLOAD.id, 100_000, DATA[100_000:]) == len(DATA)
    assert await staging.digest(UPLOAD.id) == UPLOAD.digest
    assert b"".join([part async for part in staging.read(UPLOAD.id)]) == DATA


async def test_another_process_goes_on_where_the_last_one_was_killed(staging: DiskUploads, tmp_path: Path) -> None:
    await staging.create(UPLOAD)
    await staging.append(UPLOAD.id, 0, DATA[:100_000])
    with (tmp_path / "uploads" / f"{UPLOAD.id}.part").open("ab") as file:
        file.write(DATA[100_000:100_010])  # a write that was cut in the middle
    again = DiskUploads(tmp_path / "uploads")
    assert await again.find(replace(UPLOAD, id="U" + "1" * 18, created_at=NOW + timedelta(hours=1))) == replace(
        UPLOAD, offset=100_010
    )
    with pytest.raises(Conflict) as caught:
        await again.append(UPLOAD.id, 100_000, DATA[100_000:])
    assert "100010" in caught.value.message
    await again.append(UPLOAD.id, 100_010, DATA[100_010:])
    assert await again.digest(UPLOAD.id) == UPLOAD.digest


async def test_only_the_same_upload_of_the_same_caller_is_continued(staging: DiskUploads) -> None:
    await staging.create(UPLOAD)
    for other in ({"created_by": "bob"}, {"digest": "0" * 64}, {"source_path": "b"}, {"mode": ""}):
        assert await staging.find(replace(UPLOAD, **other)) is None  # type: ignore[arg-type]  # the test varies any field


async def test_racing_parts_are_taken_once(staging: DiskUploads) -> None:
    await staging.create(UPLOAD)
    answers = await asyncio.gather(
        *(staging.append(UPLOAD.id, 0, DATA[:1000]) for _ in range(8)), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict"] * 7 + ["int"]
    assert (await staging.get(UPLOAD.id)).offset == 1000


async def test_more_than_was_announced_is_refused(staging: DiskUploads) -> None:
    await staging.create(UPLOAD)
    with pytest.raises(TooLarge):
        await staging.append(UPLOAD.id, 0, DATA + b"x")
    assert (await staging.get(UPLOAD.id)).offset == 0


async def test_what_the_disk_has_no_room_for_is_not_begun(tmp_path: Path) -> None:
    staging = DiskUploads(tmp_path, free=lambda path: 2 * len(DATA) - 2)
    with pytest.raises(OutOfSpace):
        await staging.create(UPLOAD)
    assert list(tmp_path.iterdir()) == []


async def test_a_dropped_upload_is_gone_and_dropping_again_is_fine(staging: DiskUploads, tmp_path: Path) -> None:
    await staging.create(UPLOAD)
    await staging.append(UPLOAD.id, 0, b"x")
    await staging.drop(UPLOAD.id)
    await staging.drop(UPLOAD.id)
    assert list((tmp_path / "uploads").iterdir()) == []
    with pytest.raises(NotFound):
        await staging.get(UPLOAD.id)


async def test_only_what_nobody_touched_is_swept(staging: DiskUploads, tmp_path: Path) -> None:
    old, new = UPLOAD, replace(UPLOAD, id="U" + "1" * 18)
    for upload in (old, new):
        await staging.create(upload)
    for path in (tmp_path / "uploads").glob(f"{old.id}*"):
        os.utime(path, (1000, 1000))
    assert await staging.sweep(before=datetime.fromtimestamp(2000, UTC)) == 1
    assert (await staging.get(new.id)).id == new.id
    with pytest.raises(NotFound):
        await staging.get(old.id)


@pytest.mark.parametrize("name", ["../../etc/passwd", "U", "", "U/" + "0" * 17])
async def test_a_name_is_never_a_path(staging: DiskUploads, name: str) -> None:
    with pytest.raises(Invalid):
        await staging.get(name)
