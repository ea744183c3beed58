"""A directory as one archive, the same bytes every time: sorted names, no times, no owners, two modes.

What a node would refuse (links, devices, sockets) is refused here, before anything is sent.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from corral.domain.errors import Invalid

_ZIP_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_DIRECTORY: Final = 0o755
_FILE: Final = 0o644
_PROGRAM: Final = 0o755


def pack(directory: Path, kind: str, out: IO[bytes]) -> None:
    """Write `directory` (its content, not its name) as `tar` or `zip`. Raises Invalid."""
    try:
        if kind == "zip":
            _zip(directory, out)
        else:
            _tar(directory, out)
    except OSError as error:
        raise Invalid(f"cannot pack {str(directory)!r}: {error.strerror or error}", element="src") from None


def _members(directory: Path) -> Iterator[tuple[str, Path, os.stat_result]]:
    """(name inside the archive, path, stat), parents before children."""
    for name in sorted(os.listdir(directory)):
        yield from _walk(directory / name, name)


def _walk(path: Path, name: str) -> Iterator[tuple[str, Path, os.stat_result]]:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise Invalid(
            f"cannot pack {str(path)!r}: only files and directories travel, no links and devices",
            element="src",
            hint="leave it out of the directory, or put a copy of the file there",
        )
    yield name, path, found
    if stat.S_ISDIR(found.st_mode):
        for child in sorted(os.listdir(path)):
            yield from _walk(path / child, f"{name}/{child}")


def _mode(found: os.stat_result) -> int:
    if stat.S_ISDIR(found.st_mode):
        return _DIRECTORY
    return _PROGRAM if found.st_mode & 0o100 else _FILE


def _tar(directory: Path, out: IO[bytes]) -> None:
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path, found in _members(directory):
            entry = tarfile.TarInfo(name)
            entry.mode = _mode(found)
            if stat.S_ISDIR(found.st_mode):
                entry.type = tarfile.DIRTYPE
                archive.addfile(entry)
            else:
                entry.size = found.st_size
                with path.open("rb") as file:
                    archive.addfile(entry, file)


def _zip(directory: Path, out: IO[bytes]) -> None:
    with zipfile.ZipFile(out, "w", compression=zipfile.ZIP_DEFLATED) as archive:
        for name, path, found in _members(directory):
            folder = stat.S_ISDIR(found.st_mode)
            entry = zipfile.ZipInfo(f"{name}/" if folder else name, _ZIP_EPOCH)
            entry.create_system = 3
            entry.external_attr = ((stat.S_IFDIR if folder else stat.S_IFREG) | _mode(found)) << 16
            if folder:
                archive.writestr(entry, b"")
                continue
            entry.compress_type = zipfile.ZIP_DEFLATED
            with path.open("rb") as file, archive.open(entry, "w") as into:
                while data := file.read(1 << 20):
                    into.write(data)
