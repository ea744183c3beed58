"""The files room: uploads on this server's disk → sealed objects in the engine, revisions in SQL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from corral.runtime.lifecycle import Component
from corral.server.application.access.scope import Scope
from corral.server.application.files.clearing import Clearing
from corral.server.application.files.expiry import UploadExpiry
from corral.server.application.files.revisions import Revisions
from corral.server.application.files.room import FileRoom
from corral.server.application.files.shipping import Shipping
from corral.server.application.files.uploads import Uploads
from corral.server.application.files.whereabouts import Whereabouts
from corral.server.application.ports.files import Usage
from corral.server.compose.ground import Ground, store_limits
from corral.server.infrastructure.auth.keyfile import load_key
from corral.server.infrastructure.disk.uploads import DiskUploads
from corral.server.infrastructure.nats.artifacts import NatsBlobs
from corral.server.infrastructure.sql.files import SqlJobUsage, SqlRevisionStore
from corral.server.infrastructure.sql.placements import SqlPlacements


@dataclass(kw_only=True)
class Files:
    """The room, what runs for it, and what the jobs room needs of it. `usages` may be added to until the server serves."""

    room: FileRoom
    components: Sequence[Component]
    blobs: NatsBlobs
    shipping: Shipping
    usages: list[Usage]


def compose_files(ground: Ground) -> Files:
    """keys/artifacts.key opens every stored byte: all servers of an installation share it, and a backup holds it."""
    blobs = NatsBlobs(objects=ground.bus.objects, secret=load_key(ground.keys / "artifacts.key"))
    revisions = SqlRevisionStore(ground.db)
    staging = DiskUploads(ground.config.data_dir / "uploads")
    usages: list[Usage] = [SqlJobUsage(ground.db)]
    alone = asyncio.Lock()
    room = FileRoom(
        uploads=Uploads(
            staging=staging,
            revisions=revisions,
            blobs=blobs,
            clock=ground.clock,
            alone=alone,
            max_bytes=store_limits(ground.config).artifacts_bytes // 2,
        ),
        revisions=Revisions(revisions=revisions, blobs=blobs),
        clearing=Clearing(revisions=revisions, blobs=blobs, usages=usages, alone=alone),
        whereabouts=Whereabouts(placements=SqlPlacements(ground.db), scope=Scope(ground.registry)),
    )
    return Files(
        room=room,
        components=(
            UploadExpiry(staging=staging, blobs=blobs, leads=lambda: ground.leadership.leading, clock=ground.clock),
        ),
        blobs=blobs,
        shipping=Shipping(revisions=revisions, blobs=blobs, clock=ground.clock),
        usages=usages,
    )
