"""The partial file of one blob on its way: chunks opened and written in order, and a record of how far it is.

What an earlier run left is taken up only if it is of the same stored object, and hashed again, so the whole is proved by this run.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from corral.agent.link.port import LinkMessage
from corral.agent.worker.builtin.errors import TaskFailed
from corral.agent.worker.builtin.filling import hash_file, write_all
from corral.domain.artifact import BLOB_CONTEXT, PLAIN_CHUNK_BYTES, Blob
from corral.protocol.subjects import ARTIFACTS
from corral.protocol.topology import object_chunks
from corral.runtime import crypto

_FREE_MARGIN_BYTES: Final = 1 << 20


class Corrupt(TaskFailed):
    """A chunk that does not open, or a whole that is not what was signed."""


@dataclass(frozen=True, slots=True)
class _Progress:
    nuid: str
    chunks: int
    sequence: int


def sequence_of(message: LinkMessage) -> int:
    text = message.headers.get("Nats-Sequence", "")
    if not text.isdigit():
        raise TaskFailed("cannot fetch the file: the engine's answer names no sequence")
    return int(text)


class Partial:
    """The partial file of one digest. Not used by two at a time; `take` may run in a thread."""

    def __init__(self, root: Path, digest: str, size: int, blob: Blob, *, resume: bool) -> None:
        self._root = root
        self.digest = digest
        self._size = size
        self.blob = blob
        self._resume = resume
        self.subject = object_chunks(ARTIFACTS, blob.nuid)
        self._aad = BLOB_CONTEXT + digest.encode()
        self._path = f"{root}/{digest}.part"
        self._record = f"{root}/{digest}.at"
        self._fd = self._record_fd = -1
        self._hash = hashlib.sha256()
        self._opener = crypto.GcmOpener(blob.key, PLAIN_CHUNK_BYTES)
        self.chunks = 0
        self.sequence = 1

    @property
    def missing(self) -> int:
        return self.blob.chunks - self.chunks

    async def open(self) -> bool:
        """Take up what an earlier run left; True when that was something."""
        progress = self._read_progress() if self._resume else None
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(self._path, flags | (0 if progress else os.O_TRUNC), 0o600)
        self._record_fd = os.open(self._record, flags | (0 if progress else os.O_TRUNC), 0o600)
        if progress is not None:
            kept = progress.chunks * PLAIN_CHUNK_BYTES
            os.ftruncate(self._fd, kept)
            self._hash = await hash_file(self._fd)
            self.chunks, self.sequence = progress.chunks, progress.sequence
        space = os.fstatvfs(self._fd)
        free, needed = space.f_bavail * space.f_frsize, self._size - self.chunks * PLAIN_CHUNK_BYTES
        if needed + _FREE_MARGIN_BYTES > free:
            self.discard()
            raise TaskFailed(f"cannot store the file in {str(self._root)!r}: it needs {needed} bytes, {free} are free")
        return progress is not None and progress.chunks > 0

    def _read_progress(self) -> _Progress | None:
        try:
            with open(self._record, "rb") as file:
                nuid, chunks, sequence = file.read(200).split()
            progress = _Progress(nuid.decode(), int(chunks), int(sequence))
            held = os.stat(self._path).st_size
        except (OSError, ValueError):
            return None
        sound = 0 < progress.chunks < self.blob.chunks and held >= progress.chunks * PLAIN_CHUNK_BYTES
        # another nuid: the same bytes were stored again elsewhere, and only from their beginning can they be read
        return progress if sound and progress.nuid == self.blob.nuid else None

    def take(self, messages: Sequence[LinkMessage]) -> None:
        """Open, hash and write these chunks. Raises Corrupt at the first that does not open: those before it are kept."""
        for message in messages:
            number = self.chunks
            length = min(PLAIN_CHUNK_BYTES, self._size - number * PLAIN_CHUNK_BYTES)
            try:
                plain = self._opener.open(number.to_bytes(12, "big"), message.data, self._aad)
            except ValueError:
                plain = memoryview(b"")
            if len(plain) != length or not plain:
                raise Corrupt(
                    f"cannot use the file: chunk {number + 1} of {self.blob.chunks} was altered on its way or in the engine",
                    hint="upload the same file again: that puts the bytes back",
                )
            write_all(self._fd, plain, number * PLAIN_CHUNK_BYTES)
            self._hash.update(plain)
            self.chunks += 1
            self.sequence = sequence_of(message) + 1
        # one write of a fixed length: a reader finds the old or the new numbers
        os.pwrite(self._record_fd, f"{self.blob.nuid} {self.chunks} {self.sequence}".ljust(119).encode() + b"\n", 0)

    def finish(self) -> None:
        """All chunks are there: the whole must be what the task was signed with."""
        if os.fstat(self._fd).st_size != self._size or self._hash.hexdigest() != self.digest:
            raise Corrupt(
                f"cannot use the file: its SHA-256 is {self._hash.hexdigest()}, the task says {self.digest}",
                hint="upload the file again",
            )
        os.rename(self._path, f"{self._root}/{self.digest}")
        os.unlink(self._record)

    def discard(self) -> None:
        for path in (self._path, self._record):
            with contextlib.suppress(OSError):
                os.unlink(path)

    def close(self) -> None:
        for fd in (self._fd, self._record_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._record_fd = -1
        self._opener.close()
