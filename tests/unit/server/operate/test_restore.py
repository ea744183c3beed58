"""What `restore` refuses before it writes, and what it leaves behind of a restore or a backup that was killed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from corral.domain.errors import Conflict, CorralError, Invalid, Unsupported
from corral.runtime.archive import Member, bytes_chunks, write
from corral.runtime.clock import SystemClock
from corral.server.compose.backup import remove_leftovers
from corral.server.infrastructure.sql.migrate import head
from corral.server.operate.restore import restore

CLOCK = SystemClock(0)
FILES = {"keys/realm.json": b"{}", "objects/artifacts/YQ==": b"blob", "corral.toml": b'[server]\ndata_dir = "/old"\n'}


async def backup(path: Path, files: dict[str, bytes] = FILES, **header: Any) -> Path:
    async def members() -> AsyncIterator[Member]:
        for name, data in files.items():
            yield Member(name=name, size=len(data), chunks=bytes_chunks(data))

    told = {"program": "corral", "version": "9.9", "schema": head(), "database": "postgresql", "data_dir": "/old"}
    with path.open("wb") as out:
        async for chunk in write(members(), header={**told, **header}, at=0):
            out.write(chunk)
    return path


async def test_everything_lands_where_the_server_looks_for_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    done = restore(await backup(tmp_path / "b.tar"), data, CLOCK)
    assert (data / "keys" / "realm.json").read_bytes() == b"{}"
    assert (data / "restored" / "artifacts" / "YQ==").read_bytes() == b"blob"
    assert f'data_dir = "{data}"' in (data / "corral.toml").read_text()
    assert done.objects == 1
    assert "restore PostgreSQL" in done.notes[0]
    assert "edited by hand" in done.notes[1]


@pytest.mark.parametrize(
    ("header", "kind", "says"),
    [
        ({"format": 2}, Unsupported, "its format is 2"),
        ({"schema": "9999"}, Unsupported, "Corral 9.9 made it with schema '9999'"),
        ({"program": "other"}, Invalid, "not a backup of Corral"),
    ],
)
async def test_a_newer_or_foreign_backup_is_refused_before_anything_is_written(
    tmp_path: Path, header: dict[str, Any], kind: type[CorralError], says: str
) -> None:
    file = await backup(tmp_path / "b.tar", **header)
    with pytest.raises(kind, match=says):
        restore(file, tmp_path / "data", CLOCK)
    assert not (tmp_path / "data").exists()


async def test_a_database_that_is_damaged_inside_a_sound_file_is_refused(tmp_path: Path) -> None:
    file = await backup(tmp_path / "b.tar", {"corral.db": b"SQLite format 3\0" + b"\xff" * 8192})
    with pytest.raises(CorralError, match="database"):
        restore(file, tmp_path / "data", CLOCK)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["server.lock"]


async def test_a_place_that_cannot_be_written_is_said_in_words(tmp_path: Path) -> None:
    file = await backup(tmp_path / "b.tar")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CorralError, match="cannot restore into"):
        restore(file, tmp_path / "file" / "data", CLOCK)


async def test_what_is_there_is_refused_or_moved_aside_and_a_killed_restore_is_no_obstacle(tmp_path: Path) -> None:
    file, data = await backup(tmp_path / "b.tar"), tmp_path / "data"
    (data / ".restore" / "keys").mkdir(parents=True)
    (data / ".restore" / "keys" / "half").write_text("x")
    restore(file, data, CLOCK)
    assert not (data / "keys" / "half").exists()
    (data / "keys" / "mine").write_text("precious")
    with pytest.raises(Conflict, match="it holds keys"):
        restore(file, data, CLOCK)
    done = restore(file, data, CLOCK, force=True)
    assert done.aside is not None
    assert (done.aside / "keys" / "mine").read_text() == "precious"


def test_copies_of_a_killed_backup_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".backup-abc").mkdir()
    (tmp_path / ".backup-abc" / "corral.db").write_text("half")
    (tmp_path / "corral.db").write_text("whole")
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["corral.db"]
