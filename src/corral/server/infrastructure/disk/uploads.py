"""Uploads as files: <id>.json says what is coming, <id>.part holds what is here. Every blocking step runs in a thread.

The length of the part is the offset, so a killed server needs no recovery: the client asks and goes on. Nothing here is trusted
at the end but the digest. All uploads together may take half of what the disk has free, and at most STAGED_BYTES_MAX.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from corral.domain.artifact import Archive
from corral.domain.errors import Conflict, NotFound, OutOfSpace, TooLarge
from corral.domain.ids import check_object_id
from corral.runtime.files import private_dir, write_atomic
from corral.server.application.ports.files import Upload

STAGED_BYTES_MAX: Final = 64 << 30
READ_BYTES: Final = 1 << 20
T = TypeVar("T")


class DiskUploads:
    """Implements ports.files.Staging. `free` gives the free bytes of the disk."""

    def __init__(self, directory: Path, *, free: Callable[[Path], int] | None = None) -> None:
        self._directory = directory
        self._free = free or (lambda path: shutil.disk_usage(path).free)
        self._locks: dict[str, asyncio.Lock] = {}
        self._hashes: dict[str, tuple[int, Any]] = {}

    async def create(self, upload: Upload) -> None:
        await asyncio.to_thread(self._create, upload)

    async def get(self, upload: str) -> Upload:
        return await asyncio.to_thread(self._get, upload)

    async def find(self, like: Upload) -> Upload | None:
        return await asyncio.to_thread(self._find, like)

    async def append(self, upload: str, offset: int, data: bytes) -> int:
        return await self._alone(upload, lambda: self._append(upload, offset, data))

    async def digest(self, upload: str) -> str:
        return await self._alone(upload, lambda: self._digest(upload))

    async def read(self, upload: str) -> AsyncIterator[bytes]:
        await self.get(upload)
        file = await asyncio.to_thread(open, self._part(upload), "rb")
        try:
            while data := await asyncio.to_thread(file.read, READ_BYTES):
                yield data
        finally:
            file.close()

    async def drop(self, upload: str) -> None:
        await self._alone(upload, lambda: self._drop(upload))
        self._locks.pop(upload, None)

    async def sweep(self, *, before: datetime) -> int:
        old = await asyncio.to_thread(self._old, before.timestamp())
        for upload in old:
            await self.drop(upload)
        return len(old)

    async def _alone(self, upload: str, work: Callable[[], T]) -> T:
        """Two requests for one upload (a client that gave up on the first) come one after the other."""
        async with self._locks.setdefault(upload, asyncio.Lock()):
            # Shielded: a client that leaves must not free the lock while the thread still writes.
            return await asyncio.shield(asyncio.to_thread(work))

    def _create(self, upload: Upload) -> None:
        private_dir(self._directory)
        staged = sum(path.stat().st_size for path in self._directory.glob("*.part"))
        room = min(STAGED_BYTES_MAX - staged, self._free(self._directory) // 2)
        if upload.size > room:
            raise OutOfSpace(
                f"cannot take an upload of {upload.size} bytes: there is room for {max(0, room)}",
                element="size",
                hint="free some of the server's disk, or wait until other uploads are finished",
                retryable=True,
            )
        fields = asdict(upload) | {"created_at": upload.created_at.timestamp(), "archive": upload.archive.value}
        del fields["offset"]
        write_atomic(self._head(upload.id), json.dumps(fields).encode(), durable=False)
        os.close(os.open(self._part(upload.id), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))

    def _get(self, upload: str) -> Upload:
        try:
            fields = json.loads(self._head(upload).read_bytes())
            offset = self._part(upload).stat().st_size
        except (FileNotFoundError, ValueError):
            raise NotFound(
                f"cannot find upload {upload[:40]!r}: it is finished, expired, or was begun at another server",
                element="upload",
                hint="begin it again; what is stored already is not sent twice",
            ) from None
        fields["created_at"] = datetime.fromtimestamp(fields["created_at"], UTC)
        return replace(Upload(**fields), archive=Archive(fields["archive"]), offset=offset)

    def _find(self, like: Upload) -> Upload | None:
        for head in sorted(self._directory.glob("U*.json")):
            try:
                found = self._get(head.stem)
            except NotFound:
                continue
            if replace(found, id=like.id, created_at=like.created_at, offset=0) == replace(like, offset=0):
                return found
        return None

    def _append(self, upload: str, offset: int, data: bytes) -> int:
        have = self._get(upload)
        if offset != have.offset:
            raise Conflict(
                f"cannot go on at byte {offset}: the upload stands at {have.offset}",
                element="offset",
                hint="ask for the upload and go on at its offset",
            )
        if offset + len(data) > have.size:
            raise TooLarge(
                f"cannot take {len(data)} bytes at {offset}: the upload was announced with {have.size}", element="size"
            )
        try:
            with open(self._part(upload), "r+b") as file:
                file.seek(offset)
                file.write(data)
        except OSError as error:
            raise OutOfSpace(
                f"cannot keep the upload: {error.strerror}", element="disk", hint="free some of the server's disk"
            ) from error
        known, running = self._hashes.get(upload, (0, hashlib.sha256()) if offset == 0 else (-1, None))
        if known == offset and running is not None:
            running.update(data)
            self._hashes[upload] = (offset + len(data), running)
        else:
            self._hashes.pop(upload, None)
        return offset + len(data)

    def _digest(self, upload: str) -> str:
        """Known from the way in, or read again when a part of it came to the process before this one."""
        size = self._get(upload).offset
        known, running = self._hashes.get(upload, (0, hashlib.sha256()))
        if known != size:
            running = hashlib.sha256()
            with open(self._part(upload), "rb") as file:
                while data := file.read(READ_BYTES):
                    running.update(data)
            self._hashes[upload] = (size, running)
        return str(running.hexdigest())

    def _drop(self, upload: str) -> None:
        self._hashes.pop(upload, None)
        for path in (self._head(upload), self._part(upload)):
            path.unlink(missing_ok=True)

    def _old(self, before: float) -> list[str]:
        found = []
        for head in self._directory.glob("U*.json"):
            part = head.with_suffix(".part")
            times = [path.stat().st_mtime for path in (head, part) if path.exists()]
            if times and max(times) < before:
                found.append(head.stem)
        return found

    def _head(self, upload: str) -> Path:
        return self._directory / f"{check_object_id(upload, 'U', element='upload')}.json"

    def _part(self, upload: str) -> Path:
        return self._directory / f"{check_object_id(upload, 'U', element='upload')}.part"
