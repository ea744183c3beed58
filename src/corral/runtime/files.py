"""Small, careful file operations: atomic durable replace, private directories, locks that name their holder."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from corral.domain.errors import Conflict


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Replace `path` by `data` so that a reader sees the old or the new bytes, also after a power cut (`durable`)."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if durable:
        sync_dir(path.parent)


def sync_dir(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def private_dir(path: Path) -> Path:
    """Make `path` (and parents) if missing, mode 0700."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


class DirectoryLock:
    """An exclusive lock on a directory, held as long as the process lives; the file says who holds it."""

    def __init__(self, directory: Path, *, name: str = "lock", what: str = "this directory") -> None:
        self._path = directory / name
        self._what = what
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock; raise Conflict naming the holder's pid when somebody has it."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 200).decode(errors="replace").strip() or "an unknown process"
            os.close(fd)
            raise Conflict(
                f"cannot use {self._what} {str(self._path.parent)!r}: it is held by {holder}",
                element=str(self._path.parent),
                hint="stop that process, or choose another directory",
            ) from None
        os.ftruncate(fd, 0)
        os.write(fd, f"pid {os.getpid()}\n".encode())
        self._fd = fd

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
