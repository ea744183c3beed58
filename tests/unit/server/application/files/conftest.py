"""The files room over an engine, stores and a folder of its own."""

import asyncio
import hashlib
from dataclasses import dataclass

import pytest

from corral.bus.memory import MemoryBus
from corral.domain.artifact import Archive
from corral.protocol.subjects import ARTIFACTS
from corral.server.application.access.scope import Scope
from corral.server.application.files.clearing import Clearing
from corral.server.application.files.revisions import Revisions
from corral.server.application.files.room import FileRoom
from corral.server.application.files.shipping import Shipping
from corral.server.application.files.uploads import Uploads
from corral.server.application.files.whereabouts import Whereabouts
from corral.server.application.ports.access import Caller
from corral.server.infrastructure.disk.uploads import DiskUploads
from corral.server.infrastructure.nats.artifacts import NatsBlobs
from corral.testing.clock import FakeClock
from corral.testing.file_stores import MemoryPlacements, MemoryRevisionStore
from corral.testing.job_stores import MemoryDatabase

ANN = Caller(name="ann")


class Uses(dict):
    """Usage a test sets by hand."""

    async def in_use(self):
        return dict(self)


@dataclass
class Files:
    bus: MemoryBus
    clock: FakeClock
    room: FileRoom
    shipping: Shipping
    store: MemoryRevisionStore
    staging: DiskUploads
    uses: Uses

    async def upload(self, path, data, *, caller=ANN, mode="", archive=Archive.NONE):
        """The whole way of one small file."""
        digest = hashlib.sha256(data).hexdigest()
        begun = await self.room.uploads.begin(
            caller, source_path=path, size=len(data), digest=digest, mode=mode, archive=archive
        )
        if not begun.known:
            await self.room.uploads.append(caller, begun.upload.id, 0, data)
        return await self.room.uploads.commit(caller, begun.upload.id)

    async def stored(self):
        return len(await self.bus.objects.names(ARTIFACTS))

    async def wipe(self):
        for name, _ in await self.bus.objects.names(ARTIFACTS):
            await self.bus.objects.delete(ARTIFACTS, name)


@pytest.fixture
async def files(tmp_path):
    bus, clock, uses, alone = MemoryBus(), FakeClock(), Uses(), asyncio.Lock()
    await bus.streams.ensure_topology()
    db = MemoryDatabase()
    store, staging = MemoryRevisionStore(db), DiskUploads(tmp_path / "uploads")
    blobs = NatsBlobs(objects=bus.objects, secret=b"s" * 32)
    room = FileRoom(
        uploads=Uploads(staging=staging, revisions=store, blobs=blobs, clock=clock, alone=alone, max_bytes=1 << 20),
        revisions=Revisions(revisions=store, blobs=blobs),
        clearing=Clearing(revisions=store, blobs=blobs, usages=[uses], alone=alone),
        whereabouts=Whereabouts(placements=MemoryPlacements(db), scope=Scope()),
    )
    shipping = Shipping(revisions=store, blobs=blobs, clock=clock)
    return Files(bus=bus, clock=clock, room=room, shipping=shipping, store=store, staging=staging, uses=uses)
