"""Extracting an archive into a fresh directory, by handles: everything or, by raising, nothing that anybody should use.

The directory is ours alone until it is renamed into place, so nobody can put a link into it; every name is checked before it is
made, every file is made anew (O_EXCL, O_NOFOLLOW) in a folder opened without following anything, and bytes are counted as they
come, not as headers promise. Set-id bits, owners and times of the archive are left behind.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from corral.agent.worker.builtin.names import BadArchive, Names, parts_of
from corral.agent.worker.builtin.ownership import Wanted
from corral.agent.worker.builtin.tarball import TarReader
from corral.agent.worker.builtin.unpacked import Unpacked, allowed_bytes
from corral.domain.artifact import Archive
from corral.runtime.safepath import Folder

_PIECE_BYTES: Final = 1 << 20
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755


class Stopped(Exception):
    """The task is being stopped; what was extracted is removed by whoever asked."""


class _Entry(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def directory(self) -> bool: ...

    @property
    def mode(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Extracted:
    files: int
    directories: int
    bytes: int


def extract(fd: int, kind: Archive, root: Folder, owner: Wanted, stopped: Callable[[], bool]) -> Extracted:
    """All of the archive in `fd` into the empty `root`. Blocking: call it in a thread. Raises BadArchive, OSError, Stopped."""
    builder = _Builder(root, owner, stopped, allowed_bytes(os.fstat(fd).st_size))
    if kind is Archive.ZIP:
        from corral.agent.worker.builtin.zipball import zip_entries

        for entry in zip_entries(fd):
            builder.add(entry, entry.read)
    else:
        reader = TarReader(Unpacked(fd))
        for member in reader:
            builder.add(member, reader.read)
    return builder.finish()


class _Builder:
    def __init__(self, root: Folder, owner: Wanted, stopped: Callable[[], bool], allowed: int) -> None:
        self._root = root
        self._owner = owner
        self._stopped = stopped
        self._left = self._allowed = allowed
        self._names = Names()
        self._modes: dict[tuple[str, ...], int] = {}
        self._files = 0

    def add(self, entry: _Entry, read: Callable[[int], bytes]) -> None:
        if self._stopped():
            raise Stopped
        parts = parts_of(entry.name)
        if not parts:
            if not entry.directory:
                raise BadArchive(f"cannot extract {entry.name[:120]!r}: a file without a name")
            return
        self._names.add(parts, directory=entry.directory)
        if entry.directory:
            self._directory(parts, entry.mode)
        else:
            self._file(parts, entry.mode or _FILE_MODE, read)

    def _directory(self, parts: tuple[str, ...], mode: int) -> None:
        self._folder(parts).close()
        self._modes[parts] = mode or _FOLDER_MODE

    def _folder(self, parts: Iterable[str]) -> Folder:
        """A handle of a folder below the root, made if need be; as open as it has to be until all is there."""
        folder = Folder(os.dup(self._root.fd), self._root.path)
        done: tuple[str, ...] = ()
        for name in parts:
            done = (*done, name)
            try:
                if done not in self._modes:
                    folder.mkdir(name, 0o700)
                    self._modes[done] = _FOLDER_MODE
                below = folder.folder(name)
            finally:
                folder.close()
            folder = below
        return folder

    def _file(self, parts: tuple[str, ...], mode: int, read: Callable[[int], bytes]) -> None:
        with self._folder(parts[:-1]) as folder:
            fd = folder.create(parts[-1])
            try:
                while data := read(_PIECE_BYTES):
                    self._left -= len(data)
                    if self._left < 0:
                        raise BadArchive("cannot extract the archive: more comes out of it than such a file may hold")
                    if self._stopped():
                        raise Stopped
                    view = memoryview(data)
                    while view:
                        view = view[os.write(fd, view) :]
                Wanted(self._owner.uid, self._owner.gid, mode).put_on(fd, folder.at(parts[-1]))
            finally:
                os.close(fd)
        self._files += 1

    def finish(self) -> Extracted:
        """Modes of directories last, leaves first: a directory without write permission still takes its own files."""
        for parts in sorted(self._modes, key=len, reverse=True):
            with self._folder(parts) as folder:
                Wanted(self._owner.uid, self._owner.gid, self._modes[parts]).put_on(folder.fd, folder.path)
        return Extracted(self._files, len(self._modes), self._allowed - self._left)
