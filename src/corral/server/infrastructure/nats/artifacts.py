"""Artifact bytes in the engine: sealed chunk by chunk, so that a node that lists the bucket learns no name and no byte.

Key and object name are derived from one secret of the installation and the digest of the plain bytes: the same bytes are the same
blob, stored once, whichever server seals them. A chunk's nonce is its number and its context the digest, so chunks cannot
be swapped, within a blob or between two; and since the key belongs to exactly these bytes, no nonce ever seals two texts.
Sealing and opening run in a thread, a few chunks at a time: a file is never in memory as a whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Collection, Iterable
from datetime import datetime
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from corral.bus.port import BusError, NotFoundOnBus, Objects
from corral.domain.artifact import BLOB_CONTEXT, PLAIN_CHUNK_BYTES, SEALED_CHUNK_BYTES, Blob, chunk_count
from corral.domain.errors import Internal, NotFound
from corral.protocol.subjects import ARTIFACTS

AT_ONCE: Final = 8
"""Chunks per thread hop: 1 MiB."""
LOOKUPS_AT_ONCE: Final = 16
NOWHERE: Final = "none"
"""The nuid of a blob that is missing: the node finds nothing there and says so."""


class NatsBlobs:
    """Implements ports.files.Blobs. `secret` is keys/artifacts.key."""

    def __init__(self, *, objects: Objects, secret: bytes) -> None:
        self._objects = objects
        self._secret = secret

    async def missing(self, digests: Collection[str]) -> frozenset[str]:
        gate = asyncio.Semaphore(LOOKUPS_AT_ONCE)

        async def there(digest: str) -> bool:
            async with gate:
                return await self._objects.exists(ARTIFACTS, self._name(digest))

        wanted = sorted(set(digests))
        found = await asyncio.gather(*(there(digest) for digest in wanted))
        return frozenset(digest for digest, here in zip(wanted, found, strict=True) if not here)

    async def put(self, digest: str, plain: AsyncIterator[bytes]) -> None:
        await self._objects.put(ARTIFACTS, self._name(digest), self._sealed(digest, plain))

    async def read(self, digest: str) -> AsyncIterator[bytes]:
        opener = AESGCM(self._key(digest))
        first = 0
        try:
            async for chunks in _groups(self._objects.get(ARTIFACTS, self._name(digest)), SEALED_CHUNK_BYTES):
                yield await asyncio.to_thread(_open, opener, digest, first, chunks)
                first += len(chunks)
        except NotFoundOnBus:
            raise NotFound(
                f"cannot read the bytes of {digest[:12]}…: the engine has lost them",
                element="digest",
                hint="upload the same file again",
            ) from None

    async def sound(self, digest: str) -> bool:
        found = hashlib.sha256()
        try:
            async for plain in self.read(digest):
                await asyncio.to_thread(found.update, plain)
        except (NotFound, Internal):
            return False
        except BusError as error:
            if error.retryable:
                raise
            return False  # a chunk is missing
        return found.hexdigest() == digest

    async def delete(self, digest: str) -> None:
        await self._objects.delete(ARTIFACTS, self._name(digest))

    async def sweep(self, *, before: datetime) -> int:
        return await self._objects.sweep(ARTIFACTS, before=before)

    async def place(self, digest: str, size: int) -> Blob:
        """Where a node finds the bytes, now, and how it opens them: for a signed task alone."""
        nuid = await self._objects.nuid(ARTIFACTS, self._name(digest))
        return Blob(nuid=nuid or NOWHERE, key=self._key(digest), chunks=chunk_count(size))

    async def _sealed(self, digest: str, plain: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        sealer = AESGCM(self._key(digest))
        first = 0
        async for chunks in _groups(plain, PLAIN_CHUNK_BYTES):
            for sealed in await asyncio.to_thread(_seal, sealer, digest, first, chunks):
                yield sealed
            first += len(chunks)

    def _key(self, digest: str) -> bytes:
        return self._derived("key", digest)

    def _name(self, digest: str) -> str:
        return self._derived("name", digest)[:20].hex()

    def _derived(self, purpose: str, digest: str) -> bytes:
        return hmac.digest(self._secret, f"corral-blob-{purpose}-v1\n{digest}".encode(), hashlib.sha256)


def _seal(sealer: AESGCM, digest: str, first: int, chunks: Iterable[bytes]) -> list[bytes]:
    context = BLOB_CONTEXT + digest.encode()
    return [sealer.encrypt((first + i).to_bytes(12, "big"), chunk, context) for i, chunk in enumerate(chunks)]


def _open(opener: AESGCM, digest: str, first: int, chunks: Iterable[bytes]) -> bytes:
    context = BLOB_CONTEXT + digest.encode()
    try:
        return b"".join(
            opener.decrypt((first + i).to_bytes(12, "big"), chunk, context) for i, chunk in enumerate(chunks)
        )
    except InvalidTag:
        raise Internal(f"cannot open the bytes of {digest[:12]}…: a chunk is damaged", element="digest") from None


async def _groups(source: AsyncIterator[bytes], size: int) -> AsyncIterator[list[bytes]]:
    """The same bytes cut into pieces of `size` (the last one may be shorter), AT_ONCE of them at a time."""
    kept = bytearray()
    async for data in source:
        kept += data
        while len(kept) >= size * AT_ONCE:
            view = bytes(kept[: size * AT_ONCE])
            del kept[: size * AT_ONCE]
            yield [view[at : at + size] for at in range(0, len(view), size)]
    if kept:
        yield [bytes(kept[at : at + size]) for at in range(0, len(kept), size)]
