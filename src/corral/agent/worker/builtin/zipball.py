"""The entries of a zip: stored or deflated, regular files and directories, one after the other and none inside another.

The library reads the directory and undoes the compression; what may be read at all is decided here first, before it allocates
anything: the number of entries, the size of the directory, names as they were written (the library cuts at NUL), and no overlap.
"""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from typing import IO, Final

from corral.agent.worker.builtin.names import ENTRIES_MAX, BadArchive
from corral.agent.worker.builtin.unpacked import RATIO_MAX, TOTAL_MAX, allowed_bytes

_END: Final = b"PK\x05\x06"
_END_BYTES: Final = 22
_TAIL_BYTES: Final = (64 << 10) + _END_BYTES
_DIRECTORY_BYTES_MAX: Final = 8 << 20
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000
_UNIX: Final = 3


class ZipEntry:
    """`read(n)` gives the content, empty at its end; raises BadArchive when it is damaged."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self._archive = archive
        self._info = info
        self._file: IO[bytes] | None = None
        self.name = info.orig_filename
        self.directory = self.name.endswith("/")
        mode = info.external_attr >> 16
        self.mode = mode & 0o777
        self.kind = stat.S_IFMT(mode) if info.create_system == _UNIX else 0

    def read(self, size: int) -> bytes:
        try:
            if self._file is None:
                self._file = self._archive.open(self._info)
            return self._file.read(size)
        except Exception as error:  # BadZipFile, zlib.error, EOFError, NotImplementedError, …: it is damaged or odd
            raise BadArchive(f"cannot extract {self.name[:120]!r}: {error}"[:300]) from None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def zip_entries(fd: int) -> Iterator[ZipEntry]:
    """Raises BadArchive before the first entry when the archive as a whole is not to be had."""
    size = os.fstat(fd).st_size
    _look_ahead(fd, size)
    with os.fdopen(os.dup(fd), "rb") as file:
        try:
            archive = zipfile.ZipFile(file)
        except Exception as error:  # a damaged directory raises whatever it likes
            raise BadArchive(f"cannot extract the archive: it is no sound zip ({error})"[:300]) from None
        with archive:
            infos = archive.infolist()
            _check_all(infos, size)
            for info in infos:
                entry = ZipEntry(archive, info)
                _check(entry, info)
                try:
                    yield entry
                finally:
                    entry.close()


def _look_ahead(fd: int, size: int) -> None:
    tail = os.pread(fd, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise BadArchive("cannot extract the archive: it is no zip, or was cut off")
    entries, directory = struct.unpack_from("<HL", tail, at + 10)
    if entries > ENTRIES_MAX or directory > _DIRECTORY_BYTES_MAX:
        raise BadArchive(
            f"cannot extract the archive: it has more than {ENTRIES_MAX} entries, or a directory without end"
        )


def _check_all(infos: list[zipfile.ZipInfo], size: int) -> None:
    if len(infos) > ENTRIES_MAX:
        raise BadArchive(f"cannot extract the archive: it has more than {ENTRIES_MAX} entries")
    if sum(info.file_size for info in infos) > allowed_bytes(size):
        raise BadArchive(
            f"cannot extract the archive: more than {RATIO_MAX} times its own size, or {TOTAL_MAX} bytes, come out of it"
        )
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise BadArchive(f"cannot extract {info.orig_filename[:120]!r}: it lies inside another entry")
        end = info.header_offset + 30 + info.compress_size


def _check(entry: ZipEntry, info: zipfile.ZipInfo) -> None:
    shown = repr(entry.name[:120])
    if info.flag_bits & _ENCRYPTED:
        raise BadArchive(f"cannot extract {shown}: it is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BadArchive(f"cannot extract {shown}: it is packed in a way that is not read here", hint="use deflate")
    if entry.kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise BadArchive(f"cannot extract {shown}: it is a link or a device")
    if (entry.kind == stat.S_IFDIR) != entry.directory and entry.kind:
        raise BadArchive(f"cannot extract {shown}: its name and its kind do not agree")
    if entry.directory and info.file_size:
        raise BadArchive(f"cannot extract {shown}: a directory with content")
