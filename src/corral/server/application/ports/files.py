"""Ports of the files room: revisions in SQL, sealed bytes in the engine, uploads on this server's disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from corral.domain.artifact import Archive, Revision
from corral.domain.placement import Placement

Key = tuple[str, int]
"""(source path, revision)."""


@dataclass(frozen=True, kw_only=True)
class RevisionPage:
    items: Sequence[Revision]
    next: str | None = None


class RevisionStore(Protocol):
    """Immutable revisions, and which jobs need them. Numbers count from 1 per source path and are never given twice."""

    async def add(self, revision: Revision) -> Revision:
        """Store it under the next number. When the newest already is the same content, that one is the answer."""
        ...

    async def get(self, source_path: str, revision: int = 0) -> Revision:
        """That revision, or the newest for 0. Raises NotFound."""
        ...

    async def revisions(self, source_path: str, *, limit: int, cursor: str | None = None) -> RevisionPage:
        """The newest first."""
        ...

    async def artifacts(self, *, limit: int, cursor: str | None = None) -> RevisionPage:
        """The newest revision of every artifact, by source path."""
        ...

    async def all(self, source_path: str | None = None) -> Sequence[Revision]: ...

    async def remove(self, keys: Collection[Key]) -> Sequence[str]:
        """Delete them; the digests that no revision names any more. Raises Conflict, and removes none, when an open job ships one."""
        ...

    async def applied(self, source_path: str, revision: int, *, now: datetime) -> None:
        """Note that a job ships this revision."""
        ...

    async def ever_applied(self, source_path: str | None = None) -> frozenset[Key]: ...


@dataclass(frozen=True, kw_only=True)
class PlacementPage:
    items: Sequence[Placement]
    next: str | None = None


class Placements(Protocol):
    """Where revisions are now. Written by the job store with the reports of file tasks; a removed node's go with it."""

    async def of(
        self, source_path: str, *, revision: int = 0, limit: int = 200, cursor: str | None = None
    ) -> PlacementPage:
        """By node, of one revision or of all (0). Raises Invalid for a foreign cursor."""
        ...

    async def on(self, node: str, *, limit: int = 200, cursor: str | None = None) -> PlacementPage:
        """All artifacts that are on a node, in no order that means anything. Raises Invalid for a foreign cursor."""
        ...


class Usage(Protocol):
    """Who still needs revisions: open jobs, rollouts under way. One adapter each."""

    async def in_use(self) -> Mapping[Key, str]:
        """Revision → the id of (one of) what needs it."""
        ...


class Blobs(Protocol):
    """Sealed bytes by the SHA-256 of their plain form."""

    async def missing(self, digests: Collection[str]) -> frozenset[str]:
        """Those of `digests` whose bytes are not there."""
        ...

    async def put(self, digest: str, plain: AsyncIterator[bytes]) -> None:
        """Store; whoever calls has checked that the bytes have this digest. Raises OutOfSpace, BusError."""
        ...

    def read(self, digest: str) -> AsyncIterator[bytes]:
        """The plain bytes. Raises NotFound when they are missing."""
        ...

    async def delete(self, digest: str) -> None: ...

    async def sound(self, digest: str) -> bool:
        """Whether all of its bytes are there and are those of `digest`: reads every one. False also when there are none."""
        ...

    async def sweep(self, *, before: datetime) -> int:
        """Drop what a `put` that was killed left, unless something was added to it since; how many of them."""
        ...


@dataclass(frozen=True, kw_only=True)
class Upload:
    """Bytes on their way in. `offset` = how many of `size` are here."""

    id: str
    source_path: str
    size: int
    digest: str
    mode: str
    archive: Archive
    created_at: datetime
    created_by: str
    offset: int = 0


class Staging(Protocol):
    """Uploads on disk: they survive the server's death, and go after a while when nobody continues them."""

    async def create(self, upload: Upload) -> None:
        """Raises OutOfSpace when the disk, or the share of it for uploads, has no room for the whole of it."""
        ...

    async def get(self, upload: str) -> Upload:
        """Raises NotFound."""
        ...

    async def find(self, like: Upload) -> Upload | None:
        """One that was begun by the same caller for the same path and bytes: to be continued."""
        ...

    async def append(self, upload: str, offset: int, data: bytes) -> int:
        """The new offset. Raises Conflict naming the right one when `offset` is not where the upload stands."""
        ...

    async def digest(self, upload: str) -> str:
        """SHA-256 of what is here."""
        ...

    def read(self, upload: str) -> AsyncIterator[bytes]: ...

    async def drop(self, upload: str) -> None:
        """Gone afterwards, also when it was not there."""
        ...

    async def sweep(self, *, before: datetime) -> int:
        """Drop what nobody touched since then; how many."""
        ...
