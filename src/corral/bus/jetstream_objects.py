"""Sealed blobs in the engine: chunks on one subject, then a small document that names them. Others seal; this only stores.

The layout is the one the engine's own tools read ($O.<bucket>.C.<nuid>, $O.<bucket>.M.<name>), without rollup headers: the older
document of a name is purged instead. A node reads the chunks by nuid and sequence and never sees a name.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Final

from nats.aio.msg import Msg

from corral.bus.connection import Connection
from corral.bus.jetstream_api import ask, checked
from corral.bus.jetstream_read import direct_batch, read
from corral.bus.port import BusError, NotFoundOnBus
from corral.protocol.topology import OBJECT_CHUNK_BYTES, bucket_stream, object_chunks, object_meta

WINDOW: Final = 32
"""Chunks sent and not yet acknowledged: 4 MiB."""
ACK_SECONDS: Final = 10.0
READ_BATCH: Final = 32


class JetStreamObjects:
    """Objects of port.py."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def put(self, bucket: str, name: str, chunks: AsyncIterator[bytes]) -> str:
        """Store under `name`, replacing what was there; returns the nuid of its chunks. Raises OutOfSpace, BusError."""
        nuid = secrets.token_hex(11)
        old = await self._find(bucket, name)
        sender = _Window(self._connection)
        digest = hashlib.sha256()
        size = count = 0
        try:
            async with sender:
                async for piece in _even(chunks):
                    digest.update(piece)
                    size += len(piece)
                    count += 1
                    await sender.send(object_chunks(bucket, nuid), piece)
            meta = {
                "name": name,
                "bucket": bucket,
                "nuid": nuid,
                "size": size,
                "chunks": count,
                "digest": "SHA-256=" + base64.urlsafe_b64encode(digest.digest()).decode(),
                "options": {"max_chunk_size": OBJECT_CHUNK_BYTES},
            }
            await self._send_meta(bucket, name, meta)
        except BaseException:
            await asyncio.shield(self._forget_chunks(bucket, nuid))
            raise
        await ask(self._connection, f"STREAM.PURGE.{bucket_stream(bucket)}", {"filter": _meta(bucket, name), "keep": 1})
        if old is not None:
            await self._purge(bucket, object_chunks(bucket, str(old["nuid"])))
        return nuid

    async def get(self, bucket: str, name: str) -> AsyncIterator[bytes]:
        """The bytes in order; raises NotFoundOnBus, or BusError when a chunk is missing."""
        meta = await self._find(bucket, name)
        if meta is None:
            raise _missing(bucket, name)
        size, sequence = 0, 1
        subject = object_chunks(bucket, str(meta["nuid"]))
        while size < int(meta["size"]):
            part, _ = await direct_batch(
                self._connection, bucket_stream(bucket), subject, from_sequence=sequence, batch=READ_BATCH
            )
            if not part:
                raise BusError(f"cannot read {name!r}: {size} of {meta['size']} bytes are stored", element=name)
            for message in part:
                size += len(message.data)
                yield message.data
            sequence = part[-1].sequence + 1

    async def delete(self, bucket: str, name: str) -> None:
        """Gone afterwards, also when it was not there."""
        meta = await self._find(bucket, name)
        await self._purge(bucket, _meta(bucket, name))
        if meta is not None:
            await self._purge(bucket, object_chunks(bucket, str(meta["nuid"])))

    async def exists(self, bucket: str, name: str) -> bool:
        return await self._find(bucket, name) is not None

    async def names(self, bucket: str) -> Sequence[tuple[str, int]]:
        found = await read(
            self._connection, bucket_stream(bucket), object_meta(bucket, ">"), from_sequence=1, limit=1 << 20
        )
        documents = [json.loads(message.data) for message in found]
        return sorted({str(meta["name"]): int(meta["size"]) for meta in documents}.items())

    async def sweep(self, bucket: str, *, before: datetime) -> int:
        """A `put` names its chunks last, so what is unnamed and old is of one that died."""
        chunks = object_chunks(bucket, "*")
        held: set[str] = set()
        while True:
            info = await ask(
                self._connection,
                f"STREAM.INFO.{bucket_stream(bucket)}",
                {"subjects_filter": chunks, "offset": len(held)},
            )
            page = (info.get("state") or {}).get("subjects") or {}
            held |= page.keys()
            if not page or len(held) >= int(info.get("total", 0)):
                break
        # Looked at after the chunks: what was named meanwhile counts as named.
        documents = await read(
            self._connection, bucket_stream(bucket), object_meta(bucket, ">"), from_sequence=1, limit=1 << 20
        )
        named = {object_chunks(bucket, str(json.loads(message.data)["nuid"])) for message in documents}
        gone = 0
        for subject in sorted(held - named):
            if await self._untouched(bucket, subject, before):
                await self._purge(bucket, subject)
                gone += 1
        return gone

    async def _untouched(self, bucket: str, subject: str, before: datetime) -> bool:
        """Whether the newest chunk is older; False when there is none any more, or nobody can tell."""
        last = await self._connection.request(
            f"$JS.API.DIRECT.GET.{bucket_stream(bucket)}",
            json.dumps({"last_by_subj": subject}).encode(),
            timeout_seconds=ACK_SECONDS,
        )
        stamp = (last.headers or {}).get("Nats-Time-Stamp", "")
        try:
            return datetime.fromisoformat(stamp[:19] + "+00:00") < before
        except ValueError:
            return False

    async def nuid(self, bucket: str, name: str) -> str | None:
        meta = await self._find(bucket, name)
        return None if meta is None else str(meta["nuid"])

    async def _find(self, bucket: str, name: str) -> dict[str, Any] | None:
        stream = bucket_stream(bucket)
        message = await self._connection.request(
            f"$JS.API.DIRECT.GET.{stream}.{_meta(bucket, name)}", b"", timeout_seconds=ACK_SECONDS
        )
        status = (message.headers or {}).get("Status")
        if status == "404":
            return None
        if status is not None:
            raise BusError(f"cannot look up {name!r}: status {status}", element=name, retryable=True)
        return dict(json.loads(message.data))

    async def _send_meta(self, bucket: str, name: str, meta: dict[str, Any]) -> None:
        answer = await self._connection.request(
            _meta(bucket, name), json.dumps(meta).encode(), timeout_seconds=ACK_SECONDS
        )
        checked(f"store {name!r}", answer.data)

    async def _purge(self, bucket: str, subject: str) -> None:
        await ask(self._connection, f"STREAM.PURGE.{bucket_stream(bucket)}", {"filter": subject})

    async def _forget_chunks(self, bucket: str, nuid: str) -> None:
        try:
            await self._purge(bucket, object_chunks(bucket, nuid))
        except BusError:
            pass  # the engine is away: these bytes stay, unnamed, and count against the bucket's bound


class _Window:
    """Publishes with at most WINDOW unacknowledged; leaving the block waits for the rest."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._free = asyncio.Semaphore(WINDOW)
        self._error: Exception | None = None

    async def __aenter__(self) -> _Window:
        self._inbox = self._connection.new_inbox()
        self._epoch = self._connection.epoch
        self._subscription = await self._connection.subscribe(self._inbox, self._acknowledged)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            # Also after a failure: a chunk still on its way would be stored after the purge that follows.
            for _slot in range(WINDOW):
                await self._slot(ACK_SECONDS if kind is None else 1.0)
            if kind is None:
                self._check()
        except BusError:
            if kind is None:
                raise
        finally:
            await self._subscription.close()

    async def send(self, subject: str, data: bytes) -> None:
        await self._slot()
        try:
            self._check()
            await self._connection.publish(subject, data, reply=self._inbox)
        except BaseException:
            self._free.release()  # nothing was sent, so no acknowledgement will do it
            raise

    async def _slot(self, seconds: float = ACK_SECONDS) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._free.acquire()
        except TimeoutError:
            raise BusError(
                "cannot store the object: the engine does not acknowledge", element="engine", retryable=True
            ) from None

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        if self._connection.epoch != self._epoch:
            raise BusError("cannot store the object: the connection broke", element="engine", retryable=True)

    def _acknowledged(self, message: Msg) -> None:
        try:
            if (message.headers or {}).get("Status") == "503":
                raise NotFoundOnBus(
                    "cannot store the object: the engine has no such bucket", element="engine", retryable=True
                )
            checked("store the object", message.data)
        except Exception as error:
            self._error = error
        self._free.release()


async def _even(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of OBJECT_CHUNK_BYTES."""
    kept = bytearray()
    async for chunk in chunks:
        kept += chunk
        while len(kept) >= OBJECT_CHUNK_BYTES:
            yield bytes(kept[:OBJECT_CHUNK_BYTES])
            del kept[:OBJECT_CHUNK_BYTES]
    if kept:
        yield bytes(kept)


def _meta(bucket: str, name: str) -> str:
    return object_meta(bucket, base64.urlsafe_b64encode(name.encode()).decode())


def _missing(bucket: str, name: str) -> NotFoundOnBus:
    return NotFoundOnBus(f"cannot read {name!r}: it is not in bucket {bucket!r}", element=name)
