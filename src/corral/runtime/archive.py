"""The format of a backup: a plain tar whose last member, manifest.json, holds size and SHA-256 of every other member.

Written as a stream (nothing needs to be known in advance but the size of the next member) and read strictly: a file without its
manifest was cut off, a member that is not in it or does not match it is damage. Any `tar` can list and unpack it.

    backup.json      what this is: format, program version, time, what is inside (first)
    corral.db        the SQLite database (absent with PostgreSQL)
    keys/… pki/… admin.token corral.toml      as in the data directory
    objects/<bucket>/<name, base64url>        what only the engine holds
    manifest.json    {"files": {name: {"size", "sha256"}}} (last)
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from corral.domain.errors import CorralError, Invalid

HEADER: Final = "backup.json"
MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
_BLOCK: Final = 512
_PIECE_BYTES: Final = 1 << 20
_TEXT_BYTES_MAX: Final = 64 << 20


class Damaged(CorralError):
    """A backup that is incomplete or was changed."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One file of the archive: exactly `size` bytes in `chunks`."""

    name: str
    size: int
    chunks: AsyncIterator[bytes]


async def write(members: AsyncIterator[Member], *, header: dict[str, Any], at: float) -> AsyncIterator[bytes]:
    """The bytes of the archive. Raises Damaged when a member turns out longer or shorter than it said."""
    files: dict[str, dict[str, Any]] = {}

    async def one(member: Member) -> AsyncIterator[bytes]:
        yield _head(member.name, member.size, at)
        digest, size = hashlib.sha256(), 0
        async for chunk in member.chunks:
            size += len(chunk)
            digest.update(chunk)
            if size <= member.size:
                yield chunk
        if size != member.size:
            raise Damaged(f"cannot back up {member.name!r}: it holds {size} bytes instead of {member.size}")
        yield bytes(-size % _BLOCK)
        files[member.name] = {"size": size, "sha256": digest.hexdigest()}

    async for piece in one(_text(HEADER, {"format": FORMAT, **header})):
        yield piece
    async for member in members:
        async for piece in one(member):
            yield piece
    async for piece in one(_text(MANIFEST, {"files": dict(files)})):
        yield piece
    yield bytes(2 * _BLOCK)


async def file_chunks(path: Path, size: int) -> AsyncIterator[bytes]:
    """The first `size` bytes of a file."""
    left = size
    with path.open("rb") as file:
        while left and (chunk := file.read(min(_PIECE_BYTES, left))):
            left -= len(chunk)
            yield chunk


async def bytes_chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data


class Archive:
    """A backup file, to be read. `check` reads all of it once; unpack only what was checked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: dict[str, Any] = {}

    def check(self) -> dict[str, int]:
        """Name → size of every member. Raises Damaged, or Invalid for a file that is no backup."""
        try:
            with tarfile.open(self.path, "r:") as tar:
                return self._check(tar)
        except FileNotFoundError:
            raise Invalid(f"cannot read {str(self.path)!r}: no such file", element=str(self.path)) from None
        except (tarfile.TarError, EOFError) as error:
            raise self._damaged(str(error)) from None
        except OSError as error:
            raise Invalid(
                f"cannot read {str(self.path)!r}: {(error.strerror or str(error)).lower()}", element=str(self.path)
            ) from None

    def unpack(self, name: str, target: Path) -> None:
        """One member into a new file (0600) whose directory exists."""
        with tarfile.open(self.path, "r:") as tar:
            source = tar.extractfile(tar.getmember(name))
            if source is None:
                raise self._damaged(f"{name!r} is not a file")
            with source, target.open("xb") as file:
                target.chmod(0o600)
                while chunk := source.read(_PIECE_BYTES):
                    file.write(chunk)

    def text(self, name: str) -> str:
        """One small member."""
        with tarfile.open(self.path, "r:") as tar:
            source = tar.extractfile(tar.getmember(name))
            return "" if source is None else source.read(_TEXT_BYTES_MAX).decode(errors="replace")

    def _check(self, tar: tarfile.TarFile) -> dict[str, int]:
        found: dict[str, dict[str, Any]] = {}
        manifest: dict[str, Any] | None = None
        for number, member in enumerate(_members(tar)):
            if not member.isreg() or not _is_plain(member.name) or member.name in found or manifest is not None:
                raise self._damaged(f"it holds {member.name!r}, which does not belong there")
            data = tar.extractfile(member)
            assert data is not None  # a regular file has one
            if member.name in (HEADER, MANIFEST) and member.size <= _TEXT_BYTES_MAX:
                text = data.read()
                data = io.BytesIO(text)
                document = self._document(member.name, text)
                if member.name == MANIFEST:
                    manifest = document.get("files")
                    continue
                self.header = document
            elif number == 0:
                raise Invalid(
                    f"cannot read {str(self.path)!r}: it is not a backup of Corral",
                    element=str(self.path),
                    hint="give the file that 'corral system backup' wrote",
                )
            digest = hashlib.sha256()
            while chunk := data.read(_PIECE_BYTES):
                digest.update(chunk)
            found[member.name] = {"size": member.size, "sha256": digest.hexdigest()}
        if manifest is None:
            raise self._damaged("its end is missing")
        if manifest != found:
            names = [name for name in {*manifest, *found} if manifest.get(name) != found.get(name)]
            raise self._damaged(f"{', '.join(sorted(names)[:3])} differ from what was written")
        return {name: int(entry["size"]) for name, entry in found.items()}

    def _document(self, name: str, text: bytes) -> dict[str, Any]:
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise self._damaged(f"{name} is not readable")
        return document

    def _damaged(self, cause: str) -> Damaged:
        return Damaged(
            f"cannot use the backup {str(self.path)!r}: {cause}",
            element=str(self.path),
            hint="it is incomplete or was changed; use another backup",
        )


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := tar.next()) is not None:
        yield member


def _is_plain(name: str) -> bool:
    parts = name.split("/")
    return len(parts) <= 3 and all(part not in ("", ".", "..") for part in parts) and "\0" not in name


def _head(name: str, size: int, at: float) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, int(at), 0o600
    return info.tobuf(tarfile.GNU_FORMAT)


def _text(name: str, document: dict[str, Any]) -> Member:
    data = json.dumps(document, indent=1).encode()
    return Member(name=name, size=len(data), chunks=bytes_chunks(data))
