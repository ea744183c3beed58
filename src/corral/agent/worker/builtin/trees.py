"""Whole directories by handle: emptying one, and the digest of what is in it. Never through a link, never into another file system."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Generator, Iterator
from typing import Final

from corral.agent.worker.builtin.errors import TaskFailed
from corral.runtime.safepath import Folder, kind_of
from corral.runtime.threads import in_thread

_DEPTH_MAX: Final = 256
_BUFFER_BYTES: Final = 1 << 20
_AT_ONCE: Final = 500
"""Entries that one call of a thread removes: a stop is felt between two."""


async def remove_tree(parent: Folder, name: str, *, stopped: Callable[[], bool] = lambda: False) -> None:
    """Remove the directory `name` with all that is in it; what is already gone is no error. Returns early when `stopped`."""
    found = parent.stat(name)
    if found is None:
        return
    if not stat.S_ISDIR(found.st_mode):
        parent.unlink(name)
        return
    steps = _removal(parent, name, found.st_dev, 0)

    def some() -> bool:
        return all(next(steps, True) is None for _ in range(_AT_ONCE))

    try:
        while not stopped():
            if not await in_thread(some):
                return
    finally:
        await in_thread(steps.close)


def _removal(parent: Folder, name: str, device: int, depth: int) -> Generator[None, None, None]:
    """Remove, leaves first; yields after each entry."""
    if depth > _DEPTH_MAX:
        raise TaskFailed(f"cannot delete {parent.at(name)!r}: it is nested more than {_DEPTH_MAX} deep")
    try:
        folder = parent.folder(name)
    except FileNotFoundError:
        return
    with folder:
        if os.fstat(folder.fd).st_dev != device:
            raise TaskFailed(f"cannot delete {folder.path!r}: it is on another file system")
        for entry in folder.names():
            found = folder.stat(entry)
            if found is None:
                continue
            if stat.S_ISDIR(found.st_mode):
                yield from _removal(folder, entry, device, depth + 1)
            else:
                _gone(folder.unlink, entry)
                yield
    _gone(parent.rmdir, name)
    yield


def _gone(call: Callable[[str], None], name: str) -> None:
    try:
        call(name)
    except FileNotFoundError:
        pass


def tree_digest(parent: Folder, name: str) -> str:
    """One digest over names, kinds, modes and contents below `name`; "" when it is no directory. Blocking: call it in a thread."""
    found = parent.stat(name)
    if found is None or not stat.S_ISDIR(found.st_mode):
        return ""
    digest = hashlib.sha256()
    with parent.folder(name) as folder:
        for line in _described(folder, ""):
            digest.update(line)
    return digest.hexdigest()


def _described(folder: Folder, prefix: str) -> Iterator[bytes]:
    for name in sorted(folder.names()):
        found = folder.stat(name)
        if found is None:
            continue
        path = os.fsencode(f"{prefix}{name}")
        head = b"%d:%b %b %o" % (len(path), path, kind_of(found.st_mode).encode(), stat.S_IMODE(found.st_mode))
        if stat.S_ISDIR(found.st_mode):
            yield head + b"\n"
            with folder.folder(name) as below:
                yield from _described(below, f"{prefix}{name}/")
        elif stat.S_ISREG(found.st_mode):
            yield head + b" " + _content(folder, name).encode() + b"\n"
        else:
            yield head + b"\n"


def _content(folder: Folder, name: str) -> str:
    fd = folder.open_read(name)
    try:
        digest = hashlib.sha256()
        offset = 0
        while data := os.pread(fd, _BUFFER_BYTES, offset):
            digest.update(data)
            offset += len(data)
        return digest.hexdigest()
    finally:
        os.close(fd)
