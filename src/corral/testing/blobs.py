"""Sealed blobs for tests of the node: bytes in the form in which a server puts them into the engine, and an engine that serves them.

blob = SealedBlob.of(data)            # random key, as many chunks as it needs
blob.spec()                           # the keys digest, size and blob of a file task
MemoryBlobs(link).add(blob)           # answers batched reads on a MemoryLink, as the engine does
nuid = await blob.put(objects)        # into a real engine's bucket
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from corral.agent.link.port import Link, LinkMessage
from corral.bus.port import Objects
from corral.domain.artifact import BLOB_CONTEXT, PLAIN_CHUNK_BYTES
from corral.protocol.subjects import ARTIFACTS, OBJECT_READ
from corral.runtime.crypto import aes_gcm_seal


@dataclass(frozen=True, kw_only=True)
class SealedBlob:
    digest: str
    size: int
    key: bytes
    nuid: str
    chunks: tuple[bytes, ...]

    @classmethod
    def of(cls, data: bytes, *, digest: str | None = None) -> SealedBlob:
        """`digest`: seal under another digest than the data's, as a server that lies would."""
        digest = digest or hashlib.sha256(data).hexdigest()
        key, context = secrets.token_bytes(32), BLOB_CONTEXT + digest.encode()
        pieces = [data[at : at + PLAIN_CHUNK_BYTES] for at in range(0, len(data), PLAIN_CHUNK_BYTES)]
        chunks = tuple(aes_gcm_seal(key, n.to_bytes(12, "big"), piece, context) for n, piece in enumerate(pieces))
        return cls(digest=digest, size=len(data), key=key, nuid=secrets.token_hex(11), chunks=chunks)

    def spec(self) -> dict[str, Any]:
        """What the spec of a task says of it."""
        key = base64.b64encode(self.key).decode()
        where = {"nuid": self.nuid, "key": key, "chunks": len(self.chunks)}
        return {"digest": self.digest, "size": self.size, "blob": where}

    def damaged(self, number: int) -> SealedBlob:
        """The same with one bit of chunk `number` changed."""
        chunk = bytearray(self.chunks[number])
        chunk[len(chunk) // 2] ^= 1
        return replace(self, chunks=(*self.chunks[:number], bytes(chunk), *self.chunks[number + 1 :]))

    def cut(self, number: int) -> SealedBlob:
        """The same, but the engine holds its first `number` chunks only (the spec still says all)."""
        return replace(self, chunks=self.chunks[:number])

    async def put(self, objects: Objects, name: str | None = None) -> SealedBlob:
        """Store it in the artifacts bucket; the same with the nuid it has there."""

        async def pieces() -> AsyncIterator[bytes]:
            for chunk in self.chunks:
                yield chunk

        return replace(self, nuid=await objects.put(ARTIFACTS, name or self.digest, pieces()))


class MemoryBlobs:
    """Serves blobs on the engine's side of a MemoryLink. `asked` holds every request; `limit` = how many answers before silence."""

    def __init__(self, link: Link | None = None) -> None:
        self._link = link
        self._stored: dict[str, tuple[int, SealedBlob]] = {}
        self._next = 1
        self.asked: list[dict[str, Any]] = []
        if link is not None:
            link.subscribe(OBJECT_READ, self._serve)

    def add(self, blob: SealedBlob) -> SealedBlob:
        """Store the chunks behind each other; their sequences go on from what was stored before."""
        self._stored[blob.nuid] = (self._next, blob)
        self._next += len(blob.chunks)
        return blob

    def answers(self, ask: dict[str, Any]) -> list[LinkMessage]:
        """What the engine replies: chunks from that sequence on, then the message with a Status."""
        self.asked.append(ask)
        first, blob = self._stored.get(str(ask["next_by_subj"]).rsplit(".", 1)[1], (0, None))
        found: list[LinkMessage] = []
        for number, chunk in enumerate(blob.chunks if blob is not None else ()):
            if first + number >= ask["seq"] and len(found) < ask["batch"]:
                found.append(LinkMessage("", chunk, headers={"Nats-Sequence": str(first + number)}))
        return [*found, LinkMessage("", b"", headers={"Status": "204" if found else "404"})]

    async def _serve(self, message: LinkMessage) -> None:
        assert self._link is not None
        for answer in self.answers(json.loads(message.data)):
            await self._link.publish(message.reply, answer.data, headers=answer.headers)
