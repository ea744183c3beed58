"""Reading, hashing and copying files by descriptor: small ones at once, large ones in a thread, a piece at a time."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from corral.runtime.threads import in_thread

if TYPE_CHECKING:
    from hashlib import _Hash

_INLINE_BYTES: Final = 256 << 10
_BUFFER_BYTES: Final = 256 << 10
_PIECE_BYTES: Final = 32 << 20
"""What one call of a thread does: some tens of milliseconds, so that a cancellation is felt soon."""
_NO_COPY_RANGE: Final = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


async def hash_file(fd: int) -> _Hash:
    """The SHA-256 of everything in `fd`, from its start."""
    digest = hashlib.sha256()

    def piece(offset: int) -> int:
        end = offset + _PIECE_BYTES
        while offset < end and (data := os.pread(fd, _BUFFER_BYTES, offset)):
            digest.update(data)
            offset += len(data)
        return offset

    await _through(piece, os.fstat(fd).st_size)
    return digest


async def digest_of(fd: int) -> str:
    return (await hash_file(fd)).hexdigest()


async def copy_file(source: int, to: int, *, hashed: bool) -> str:
    """Copy all of `source` to the start of `to`; its SHA-256 when `hashed`, else "" (then the kernel copies by itself)."""
    digest = hashlib.sha256()
    by_kernel = not hashed and hasattr(os, "copy_file_range")

    def piece(offset: int) -> int:
        nonlocal by_kernel
        end = offset + _PIECE_BYTES
        while offset < end:
            if by_kernel:
                try:
                    copied = os.copy_file_range(source, to, end - offset, offset, offset)
                except OSError as error:
                    if error.errno not in _NO_COPY_RANGE:
                        raise
                    by_kernel = False
                    continue
            else:
                data = os.pread(source, _BUFFER_BYTES, offset)
                copied = len(data)
                write_all(to, data, offset)
                if hashed:
                    digest.update(data)
            if not copied:
                break
            offset += copied
        return offset

    await _through(piece, os.fstat(source).st_size)
    return digest.hexdigest() if hashed else ""


async def _through(piece: Callable[[int], int], size: int) -> None:
    """Call `piece` from offset to offset until it gets no further."""
    if size <= _INLINE_BYTES:
        piece(0)
        return
    at, before = 0, -1
    while at > before:
        before, at = at, await in_thread(piece, at)


async def sync_file(fd: int) -> None:
    """fsync: on a slow disk it takes its time, so never on the loop."""
    await in_thread(os.fsync, fd)


async def read_all(fd: int, limit: int) -> bytes:
    """At most `limit` bytes from the start of `fd`."""
    size = min(limit, os.fstat(fd).st_size)
    if size <= _INLINE_BYTES:
        return os.pread(fd, limit, 0)
    return await in_thread(os.pread, fd, limit, 0)


def write_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    """All of `data` at `offset`, however often the system takes only a part."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
