"""A compressed file read as a stream, bounded: never more out of it than RATIO_MAX times what it holds, never more than TOTAL_MAX."""

from __future__ import annotations

import importlib
import os
from typing import Any, Final

from corral.agent.worker.builtin.names import BadArchive

RATIO_MAX: Final = 200
TOTAL_MAX: Final = 4 << 30
SMALL_BYTES: Final = 1 << 20
"""So much may come out whatever the ratio: a short text packs well."""
_INPUT_BYTES: Final = 64 << 10
_XZ_MEMORY: Final = 72 << 20
"""What `xz -9` needs; an archive that asks for more is refused before it gets it."""


def allowed_bytes(packed: int) -> int:
    """How many bytes may come out of `packed` bytes."""
    return min(TOTAL_MAX, max(SMALL_BYTES, packed * RATIO_MAX))


class Unpacked:
    """`read(n)` gives exactly n bytes, fewer only at the end. Plain, gzip, bzip2 and xz are told apart by their first bytes."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0
        size = os.fstat(fd).st_size
        magic = os.pread(fd, 6, 0)
        self._new = _decoder_for(magic)
        # tar pads: headers and padding come on top of what the entries hold
        self._left = allowed_bytes(size) + (64 << 20 if self._new is None else 0)
        self._decoder = None if self._new is None else self._new()
        self._input = b""
        self._ended = False

    def read(self, size: int) -> bytes:
        out = bytearray()
        while len(out) < size:
            piece = self._some(size - len(out))
            if not piece:
                break
            self._left -= len(piece)
            if self._left < 0:
                raise BadArchive(
                    f"cannot extract the archive: more than {RATIO_MAX} times its own size, or {TOTAL_MAX} bytes, come out of it"
                )
            out += piece
        return bytes(out)

    def _some(self, size: int) -> bytes:
        if self._decoder is None:
            return self._raw(size)
        while not self._ended:
            if not self._input and _hungry(self._decoder):
                self._input = self._raw(_INPUT_BYTES)
                if not self._input and not self._decoder.eof:
                    raise BadArchive("cannot extract the archive: its compressed bytes end too early")
            try:
                piece = bytes(self._decoder.decompress(self._input, size))
            except Exception as error:  # zlib.error, OSError, LZMAError, EOFError: all say that it is damaged
                raise BadArchive(
                    f"cannot extract the archive: its compressed bytes are damaged ({error})"[:200]
                ) from None
            self._input = bytes(getattr(self._decoder, "unconsumed_tail", b""))
            if self._decoder.eof:
                self._next_member()
            if piece:
                return piece
        return b""

    def _next_member(self) -> None:
        """Another member may follow, as gzip and xz allow; zeros and the end of the file end it."""
        assert self._decoder is not None and self._new is not None
        rest = bytes(self._decoder.unused_data) or self._raw(_INPUT_BYTES)
        if not rest.strip(b"\0"):
            self._ended = True
            return
        self._decoder, self._input = self._new(), rest

    def _raw(self, size: int) -> bytes:
        data = os.pread(self._fd, size, self._at)
        self._at += len(data)
        return data


def _hungry(decoder: Any) -> bool:
    return bool(getattr(decoder, "needs_input", True))


def _decoder_for(magic: bytes) -> Any:
    """A maker of decoders; None = the bytes are not compressed."""
    if magic.startswith(b"\x1f\x8b"):
        zlib = importlib.import_module("zlib")
        return lambda: zlib.decompressobj(31)
    if magic.startswith(b"BZh"):
        return _module("bz2").BZ2Decompressor
    if magic.startswith(b"\xfd7zXZ"):
        lzma = _module("lzma")
        return lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        raise BadArchive("cannot extract the archive: it is packed with zstd", hint="pack it with gzip or xz")
    return None


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise BadArchive(
            f"cannot extract the archive: this node's Python has no {name}", hint="pack it with gzip"
        ) from None
