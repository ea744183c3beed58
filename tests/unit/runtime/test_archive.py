"""The format of a backup: what was written is read back, and whatever was changed, added or cut off is noticed."""

from __future__ import annotations

import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from corral.domain.errors import Invalid
from corral.runtime.archive import Archive, Damaged, Member, bytes_chunks, file_chunks, write

FILES = {"corral.db": b"x" * 1500, "keys/realm.json": b"{}", "objects/artifacts/YQ==": b"", "pki/ca.pem": b"p" * 512}


async def members(files: dict[str, bytes]) -> AsyncIterator[Member]:
    for name, data in files.items():
        yield Member(name=name, size=len(data), chunks=bytes_chunks(data))


async def made(path: Path, files: dict[str, bytes] = FILES) -> Path:
    with path.open("wb") as out:
        async for chunk in write(members(files), header={"program": "corral"}, at=1_800_000_000):
            out.write(chunk)
    return path


async def test_what_was_written_is_read_back_and_any_tar_lists_it(tmp_path: Path) -> None:
    path = await made(tmp_path / "b.tar")
    archive = Archive(path)
    sizes = archive.check()
    assert archive.header == {"format": 1, "program": "corral"}
    assert {name: sizes[name] for name in FILES} == {name: len(data) for name, data in FILES.items()}
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["backup.json", *FILES, "manifest.json"]
    archive.unpack("corral.db", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == FILES["corral.db"]
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600
    assert archive.text("keys/realm.json") == "{}"


async def test_every_flipped_byte_and_every_cut_is_noticed(tmp_path: Path) -> None:
    data = (await made(tmp_path / "b.tar")).read_bytes()
    bad = tmp_path / "bad.tar"
    end = data.rindex(b"}") + 1
    with tarfile.open(tmp_path / "b.tar") as tar:
        contents = [(member.offset_data, member.size) for member in tar.getmembers()]
    for start, size in contents:
        for at in range(start, start + size, 97):
            bad.write_bytes(data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :])
            with pytest.raises((Damaged, Invalid)):
                Archive(bad).check()
    for at in range(0, end, 211):
        bad.write_bytes(data[:at])
        with pytest.raises((Damaged, Invalid)):
            Archive(bad).check()


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/b/c/d", "a//b", "keys/.."])
async def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    path = await made(tmp_path / "b.tar", {name: b"x"})
    with pytest.raises(Damaged, match="does not belong"):
        Archive(path).check()


async def test_links_and_foreign_files_are_refused(tmp_path: Path) -> None:
    link = tmp_path / "link.tar"
    with tarfile.open(link, "w") as tar:
        info = tarfile.TarInfo("backup.json")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(Damaged, match="does not belong"):
        Archive(link).check()
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.add(__file__, "some-file")
    with pytest.raises(Invalid, match="not a backup of Corral"):
        Archive(tmp_path / "other.tar").check()
    with pytest.raises(Invalid, match="no such file"):
        Archive(tmp_path / "none.tar").check()


async def test_a_member_that_is_not_as_long_as_it_said_stops_the_backup(tmp_path: Path) -> None:
    async def one(size: int) -> AsyncIterator[Member]:
        yield Member(name="corral.db", size=size, chunks=bytes_chunks(b"12345"))

    for size in (4, 6):
        with pytest.raises(Damaged, match="5 bytes instead of"):
            async for _ in write(one(size), header={}, at=0):
                pass


async def test_a_file_that_grew_is_read_to_the_size_it_had(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"0123456789")
    assert b"".join([chunk async for chunk in file_chunks(path, 4)]) == b"0123"
