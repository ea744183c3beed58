"""The entries of a tar, read by ourselves: ustar, GNU long names and pax, and of those only directories and regular files.

A link, a device, a FIFO, a sparse file or a header that says one thing here and another there refuses the whole archive. Not the
library's reader: its filters have let names out of the target more than once, and it reads a header of any size into memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from corral.agent.worker.builtin.names import BadArchive
from corral.agent.worker.builtin.unpacked import Unpacked

_BLOCK: Final = 512
_LONG_NAME_MAX: Final = 8 << 10
_PAX_MAX: Final = 64 << 10
_REFUSED: Final = {
    b"1": "a hard link", b"2": "a symbolic link", b"3": "a character device", b"4": "a block device", b"6": "a FIFO",
    b"S": "a sparse file", b"K": "a long link", b"M": "a part of a volume", b"V": "a volume", b"D": "a GNU dump directory",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TarEntry:
    """`size` bytes of content follow and have to be read before the next entry."""

    name: str
    directory: bool
    size: int
    mode: int


class TarReader:
    def __init__(self, stream: Unpacked) -> None:
        self._stream = stream
        self._left = 0
        self._padding = 0

    def read(self, size: int) -> bytes:
        """Of the current entry's content; empty at its end. Raises BadArchive when the archive ends before."""
        want = min(size, self._left)
        data = self._stream.read(want)
        if len(data) < want:
            raise BadArchive("cannot extract the archive: it was cut off")
        self._left -= len(data)
        return data

    def __iter__(self) -> Iterator[TarEntry]:
        name: str | None = None
        size: int | None = None
        while True:
            self._skip()
            header = self._stream.read(_BLOCK)
            if len(header) == _BLOCK and not header.strip(b"\0"):
                return
            kind, own_size = self._check(header)
            if kind == b"L":
                name = self._text(own_size, _LONG_NAME_MAX).rstrip("\0")
            elif kind in (b"x", b"g"):
                pax = _pax(self._bytes(own_size, _PAX_MAX))
                if kind == b"g" and pax:
                    raise BadArchive("cannot extract the archive: it renames all of its entries at once")
                name, size = pax.get("path", name), _digits(pax["size"]) if "size" in pax else size
            else:
                entry = self._entry(header, kind, own_size if size is None else size, name)
                name = size = None
                yield entry

    def _skip(self) -> None:
        while self.read(1 << 16):
            pass
        if len(self._stream.read(self._padding)) < self._padding:
            raise BadArchive("cannot extract the archive: it was cut off")
        self._padding = 0

    def _check(self, header: bytes) -> tuple[bytes, int]:
        if len(header) < _BLOCK:
            raise BadArchive("cannot extract the archive: it is no tar, or was cut off")
        if _number(header[148:156]) != sum(header) - sum(header[148:156]) + 8 * 32:
            raise BadArchive("cannot extract the archive: a header of it is damaged, or it is no tar")
        return header[156:157], _number(header[124:136])

    def _entry(self, header: bytes, kind: bytes, size: int, name: str | None) -> TarEntry:
        if name is None:
            raw = _until_nul(header[:100])
            if header[257:263] == b"ustar\0" and (prefix := _until_nul(header[345:500])):
                raw = prefix + b"/" + raw
            name = _decoded(raw)
        if kind in _REFUSED:
            raise BadArchive(f"cannot extract {name[:120]!r}: it is {_REFUSED[kind]}")
        if kind not in (b"0", b"\0", b"7", b"5"):
            raise BadArchive(f"cannot extract {name[:120]!r}: it is of a kind nobody knows ({kind!r})")
        directory = kind == b"5" or (kind == b"\0" and name.endswith("/"))
        if directory and size:
            raise BadArchive(f"cannot extract {name[:120]!r}: a directory with content")
        self._begin(size)
        return TarEntry(name, directory, size, _number(header[100:108]) & 0o777)

    def _begin(self, size: int) -> None:
        self._left, self._padding = size, -size % _BLOCK

    def _bytes(self, size: int, most: int) -> bytes:
        if size > most:
            raise BadArchive(f"cannot extract the archive: a header of {size} bytes")
        self._begin(size)
        return self.read(size)

    def _text(self, size: int, most: int) -> str:
        return _decoded(self._bytes(size, most))


def _until_nul(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise BadArchive(f"cannot extract {raw[:120]!r}: the name is not UTF-8") from None


def _number(field: bytes) -> int:
    """Octal digits, or GNU's binary form."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") - (0x80 << 8 * (len(field) - 1))
    else:
        text = _until_nul(field).strip()
        if text.strip(b"01234567"):
            raise BadArchive("cannot extract the archive: a header of it holds no number where one belongs")
        value = int(text or b"0", 8)
    if not 0 <= value < 1 << 62:
        raise BadArchive("cannot extract the archive: a header of it holds an impossible number")
    return value


def _digits(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise BadArchive("cannot extract the archive: a header of it holds an impossible size")
    return int(text)


def _pax(data: bytes) -> dict[str, str]:
    """`path` and `size` of a pax header; a sparse file says so there too."""
    found: dict[str, str] = {}
    while data:
        length, _, _ = data.partition(b" ")
        if not length.isdigit() or len(length) > 6 or not len(length) + 1 < int(length) <= len(data):
            raise BadArchive("cannot extract the archive: a pax header of it is damaged")
        record, data = data[len(length) + 1 : int(length)], data[int(length) :]
        key, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise BadArchive("cannot extract the archive: a pax header of it is damaged")
        if key.startswith(b"GNU.sparse"):
            raise BadArchive("cannot extract the archive: it holds a sparse file")
        if key in (b"path", b"size"):
            found[key.decode()] = _decoded(value[:-1])
    return found
