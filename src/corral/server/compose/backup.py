"""What a backup is made of: the database, keys, certificates, configuration, and the objects only the engine holds."""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import corral
from corral.bus.port import NotFoundOnBus, Objects
from corral.protocol.subjects import ARCHIVE, ARTIFACTS
from corral.runtime import archive
from corral.runtime.archive import Member
from corral.runtime.clock import Clock, iso
from corral.runtime.files import write_atomic
from corral.server.config import ServerConfig
from corral.server.infrastructure.sql.copy import copy_sqlite
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.migrate import head

BUCKETS: Final = (ARTIFACTS, ARCHIVE)
RESTORED: Final = "restored"
"""Folder of the data directory where `restore` leaves objects for the next server to put into the engine."""
LAST: Final = "last-backup.json"
_FOLDERS: Final = ("keys", "pki")
_TEMPORARY: Final = ".backup-"


@dataclass(frozen=True, kw_only=True)
class BackupSource:
    """`objects` None = there is no engine to read from, and nothing in one. `config_file` None = as in the data directory."""

    config: ServerConfig
    db: Database
    clock: Clock
    objects: Objects | None = None
    config_file: Path | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of a backup; the copy of the database is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=self.config.data_dir) as folder:
            stream = archive.write(self._members(Path(folder)), header=self._header(), at=self.clock.wall())
            yield stream

    def note_made(self) -> None:
        """So that doctor can say how old the last backup is."""
        text = json.dumps({"at": self.clock.wall()}).encode()
        write_atomic(self.config.data_dir / LAST, text, durable=False)

    def _header(self) -> dict[str, Any]:
        return {
            "program": "corral",
            "version": corral.__version__,
            "made_at": iso(self.clock.now()),
            "database": self.db.dialect,
            "schema": head(),
            "data_dir": str(self.config.data_dir.absolute()),
            "objects": self.objects is not None,
        }

    async def _members(self, folder: Path) -> AsyncIterator[Member]:
        if self.db.path is not None:
            copy = folder / "corral.db"
            await asyncio.to_thread(copy_sqlite, self.db.path, copy)
            yield _file("corral.db", copy)
        data = self.config.data_dir
        for name in _FOLDERS:
            for path in sorted((data / name).glob("*")):
                if path.is_file() and not path.name.startswith("."):
                    yield _small(f"{name}/{path.name}", path)
        for name, path in (("admin.token", data / "admin.token"), ("corral.toml", self._config_file())):
            if path.is_file():
                yield _small(name, path)
        if self.objects is not None:
            for bucket in BUCKETS:
                async for member in self._objects(self.objects, bucket):
                    yield member

    async def _objects(self, objects: Objects, bucket: str) -> AsyncIterator[Member]:
        for name, size in await objects.names(bucket):
            try:
                there = await objects.exists(bucket, name)
            except NotFoundOnBus:
                continue
            if there:  # else retention took it meanwhile, together with the job that named it
                encoded = base64.urlsafe_b64encode(name.encode()).decode()
                yield Member(name=f"objects/{bucket}/{encoded}", size=size, chunks=objects.get(bucket, name))

    def _config_file(self) -> Path:
        return self.config_file or self.config.data_dir / "corral.toml"


def remove_leftovers(data_dir: Path) -> None:
    """Copies a killed server left behind."""
    for path in data_dir.glob(f"{_TEMPORARY}*/*"):
        path.unlink(missing_ok=True)
    for path in data_dir.glob(f"{_TEMPORARY}*"):
        path.rmdir()


def _file(name: str, path: Path) -> Member:
    size = path.stat().st_size
    return Member(name=name, size=size, chunks=archive.file_chunks(path, size))


def _small(name: str, path: Path) -> Member:
    """Read at once: a file that is replaced meanwhile is the old or the new one."""
    data = path.read_bytes()
    return Member(name=name, size=len(data), chunks=archive.bytes_chunks(data))
