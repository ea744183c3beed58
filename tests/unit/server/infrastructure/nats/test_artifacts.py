"""Sealed blobs: exactly one sealed chunk a message, the same bytes the same blob, nothing readable in the bucket."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from corral.bus.memory import MemoryBus
from corral.domain.artifact import BLOB_CONTEXT, PLAIN_CHUNK_BYTES, SEALED_CHUNK_BYTES
from corral.domain.errors import Internal, NotFound
from corral.protocol import topology
from corral.protocol.subjects import ARTIFACTS
from corral.server.infrastructure.nats.artifacts import NOWHERE, NatsBlobs

SECRET = b"s" * 32
DATA = os.urandom(PLAIN_CHUNK_BYTES * 9 + 17)
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
async def bus() -> MemoryBus:
    bus = MemoryBus()
    await bus.streams.ensure_topology()
    return bus


async def pieces(data: bytes, size: int = 70_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def read(blobs: NatsBlobs, digest: str = DIGEST) -> bytes:
    return b"".join([part async for part in blobs.read(digest)])


async def test_what_was_put_is_read_back(bus: MemoryBus) -> None:
    blobs = NatsBlobs(objects=bus.objects, secret=SECRET)
    assert await blobs.missing([DIGEST]) == {DIGEST}
    await blobs.put(DIGEST, pieces(DATA))
    assert await blobs.missing([DIGEST, "0" * 64]) == {"0" * 64}
    assert await read(blobs) == DATA
    await blobs.delete(DIGEST)
    with pytest.raises(NotFound):
        await read(blobs)


async def test_a_node_opens_every_message_by_its_number(bus: MemoryBus) -> None:
    blobs = NatsBlobs(objects=bus.objects, secret=SECRET)
    await blobs.put(DIGEST, pieces(DATA))
    blob = await blobs.place(DIGEST, len(DATA))
    assert blob.chunks == 10
    messages = await bus.streams.read(
        topology.bucket_stream(ARTIFACTS), topology.object_chunks(ARTIFACTS, blob.nuid), limit=100
    )
    assert [len(message.data) for message in messages] == [SEALED_CHUNK_BYTES] * 9 + [17 + 16]
    plain = b""
    for number, message in enumerate(messages):
        nonce, context = number.to_bytes(12, "big"), BLOB_CONTEXT + DIGEST.encode()
        plain += AESGCM(blob.key).decrypt(nonce, message.data, context)
    assert plain == DATA


async def test_the_bucket_shows_neither_name_nor_byte(bus: MemoryBus) -> None:
    text = b"password = hunter2\n" * 100
    digest = hashlib.sha256(text).hexdigest()
    blobs = NatsBlobs(objects=bus.objects, secret=SECRET)
    await blobs.put(digest, pieces(text))
    ((name, _),) = await bus.objects.names(ARTIFACTS)
    stored = b"".join([data async for data in bus.objects.get(ARTIFACTS, name)])
    assert b"hunter2" not in stored
    assert digest not in name


async def test_every_server_seals_alike_and_another_installation_opens_nothing(bus: MemoryBus) -> None:
    one, two = NatsBlobs(objects=bus.objects, secret=SECRET), NatsBlobs(objects=bus.objects, secret=SECRET)
    await one.put(DIGEST, pieces(DATA))
    await two.put(DIGEST, pieces(DATA, 1_000_000))
    assert len(await bus.objects.names(ARTIFACTS)) == 1
    assert await read(one) == DATA
    assert await NatsBlobs(objects=bus.objects, secret=b"x" * 32).missing([DIGEST]) == {DIGEST}


async def test_a_damaged_chunk_is_never_handed_out(bus: MemoryBus) -> None:
    blobs = NatsBlobs(objects=bus.objects, secret=SECRET)
    await blobs.put(DIGEST, pieces(DATA))
    ((name, _),) = await bus.objects.names(ARTIFACTS)
    sealed = b"".join([data async for data in bus.objects.get(ARTIFACTS, name)])
    swapped = (
        sealed[SEALED_CHUNK_BYTES : 2 * SEALED_CHUNK_BYTES]
        + sealed[:SEALED_CHUNK_BYTES]
        + sealed[2 * SEALED_CHUNK_BYTES :]
    )
    flipped = sealed[:5] + bytes([sealed[5] ^ 1]) + sealed[6:]
    for bad in (swapped, flipped):
        await bus.objects.put(ARTIFACTS, name, pieces(bad))
        with pytest.raises(Internal):
            await read(blobs)


async def test_an_empty_file_is_a_blob_of_no_chunks(bus: MemoryBus) -> None:
    digest = hashlib.sha256(b"").hexdigest()
    blobs = NatsBlobs(objects=bus.objects, secret=SECRET)
    await blobs.put(digest, pieces(b""))
    assert await blobs.missing([digest]) == frozenset()
    assert (await blobs.place(digest, 0)).chunks == 0
    assert await read(blobs, digest) == b""


async def test_the_place_of_a_missing_blob_leads_nowhere(bus: MemoryBus) -> None:
    blobs = NatsBlobs(objects=bus.objects, secret=SECRET)
    assert (await blobs.place(DIGEST, 1)).nuid == NOWHERE
