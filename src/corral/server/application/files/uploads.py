"""Uploads: announced with size and digest, sent in parts, resumed at the offset, committed as a revision.

A commit checks the SHA-256 of what came before a byte of it is sealed, and stores the bytes only when they are not there yet: so the
same bytes are stored once. What is there is read and checked first, so bytes the engine lost or damaged are healed by uploading them
again. Committing twice makes one revision.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from corral.domain.artifact import (
    ARTIFACT_BYTES_MAX,
    Archive,
    Revision,
    check_digest,
    check_mode,
    check_source_path,
)
from corral.domain.errors import Invalid, NotFound, TooLarge, WrongState
from corral.domain.ids import check_object_id, new_id
from corral.runtime.clock import Clock, now_ms
from corral.server.application.ports.access import Caller
from corral.server.application.ports.files import Blobs, RevisionStore, Staging, Upload

PART_BYTES_MAX: Final = 8 << 20


@dataclass(frozen=True, kw_only=True)
class Begun:
    """`known`: these bytes are stored already; commit at once."""

    upload: Upload
    known: bool


class Uploads:
    """Use cases. `alone` is held while it is decided which bytes are stored: here, and where they are removed."""

    def __init__(
        self,
        *,
        staging: Staging,
        revisions: RevisionStore,
        blobs: Blobs,
        clock: Clock,
        alone: asyncio.Lock,
        max_bytes: int = ARTIFACT_BYTES_MAX,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._staging = staging
        self._revisions = revisions
        self._blobs = blobs
        self._clock = clock
        self._alone = alone
        self._max_bytes = max_bytes
        self._random = random

    async def begin(
        self,
        caller: Caller,
        *,
        source_path: str,
        size: int,
        digest: str,
        mode: str = "",
        archive: Archive = Archive.NONE,
    ) -> Begun:
        """A new upload, or this caller's unfinished one of the same bytes. Raises Invalid, TooLarge, OutOfSpace."""
        check_source_path(source_path)
        check_digest(digest)
        check_mode(mode)
        if size < 0:
            raise Invalid(f"cannot upload {size} bytes: expected 0 or more", element="size")
        if size > self._max_bytes:
            raise TooLarge(
                f"cannot upload {size} bytes: at most {self._max_bytes}",
                element="size",
                hint="the server's engine.store_max_bytes sets the limit",
            )
        known = not await self._blobs.missing([digest])
        upload = Upload(
            id=new_id("U", now_ms(self._clock), self._random(6)),
            source_path=source_path,
            size=size,
            digest=digest,
            mode=mode,
            archive=archive,
            created_at=self._clock.now(),
            created_by=caller.name,
        )
        begun = await self._staging.find(upload)
        if begun is not None:
            return Begun(upload=begun, known=known)
        await self._staging.create(upload)
        return Begun(upload=upload, known=known)

    async def get(self, caller: Caller, upload: str) -> Upload:
        """Raises NotFound, also for somebody else's."""
        check_object_id(upload, "U", element="upload")
        found = await self._staging.get(upload)
        if found.created_by != caller.name:
            raise NotFound(f"cannot find upload {upload!r} of {caller.name!r}", element="upload")
        return found

    async def append(self, caller: Caller, upload: str, offset: int, data: bytes) -> int:
        """The new offset. Raises Conflict when `offset` is not where the upload stands."""
        await self.get(caller, upload)
        return await self._staging.append(upload, offset, data)

    async def commit(self, caller: Caller, upload: str) -> Revision:
        """The revision: a new one, or the newest when it already holds exactly this.

        Raises WrongState while bytes are missing, Invalid when they are not those announced, OutOfSpace.
        """
        found = await self.get(caller, upload)
        # Whoever brings bytes that are stored already may do so because nodes refuse the stored ones.
        sound = await self._blobs.sound(found.digest)
        async with self._alone:
            if not sound or await self._blobs.missing([found.digest]):
                await self._store(found, damaged=not sound)
            revision = await self._revisions.add(
                Revision(
                    source_path=found.source_path,
                    revision=0,
                    digest=found.digest,
                    size=found.size,
                    mode=found.mode,
                    archive=found.archive,
                    created_at=self._clock.now(),
                    created_by=caller.name,
                )
            )
        await self._staging.drop(upload)
        return revision

    async def _store(self, upload: Upload, *, damaged: bool) -> None:
        if upload.offset < upload.size:
            if damaged:
                # from now on it is said to be missing, so the next announcement asks for the bytes
                await self._blobs.delete(upload.digest)
            raise WrongState(
                f"cannot commit the upload: {upload.offset} of {upload.size} bytes are here",
                element="upload",
                hint="send the rest first",
            )
        digest = await self._staging.digest(upload.id)
        if digest != upload.digest:
            await self._staging.drop(upload.id)
            raise Invalid(
                f"cannot commit the upload: it was announced as {upload.digest[:12]}… and has SHA-256 {digest[:12]}…",
                element="sha256",
                hint="the file changed while it was read; upload it again",
            )
        await self._blobs.put(upload.digest, self._staging.read(upload.id))
