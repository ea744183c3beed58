"""RevisionStore and Usage in memory; the contract tests of the SQL stores hold them to the same behaviour."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from corral.domain.artifact import FileSpec, Revision, as_mapping, unchanged
from corral.domain.artifact_use import still_used
from corral.domain.job import JobState
from corral.domain.placement import Placement
from corral.server.application.ports.files import Key, PlacementPage, RevisionPage
from corral.server.infrastructure.sql.files import PAGE_MAX, no_revision, uses_of
from corral.server.infrastructure.sql.values import decode_cursor, encode_cursor
from corral.testing.job_stores import MemoryDatabase


class MemoryRevisionStore:
    """RevisionStore in memory."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def add(self, revision: Revision) -> Revision:
        path = revision.source_path
        found = self._of(path)
        newest = found[-1] if found else None
        if newest is not None and unchanged(
            newest, digest=revision.digest, mode=revision.mode, archive=revision.archive
        ):
            return newest
        number = self._db.last_revisions.get(path, 0) + 1
        self._db.last_revisions[path] = number
        made = replace(revision, revision=number, missing=False)
        self._db.revisions[path, number] = made
        return made

    async def get(self, source_path: str, revision: int = 0) -> Revision:
        found = [item for item in self._of(source_path) if revision in (0, item.revision)]
        if not found:
            raise no_revision(source_path, revision)
        return found[-1]

    async def revisions(self, source_path: str, *, limit: int, cursor: str | None = None) -> RevisionPage:
        start = decode_cursor(cursor, int)
        found = [item for item in reversed(self._of(source_path)) if start is None or item.revision < start[0]]
        if not found and start is None:
            raise no_revision(source_path, 0)
        limit = max(1, min(limit, PAGE_MAX))
        more = len(found) > limit
        return RevisionPage(items=found[:limit], next=encode_cursor(found[limit - 1].revision) if more else None)

    async def artifacts(self, *, limit: int, cursor: str | None = None) -> RevisionPage:
        start = decode_cursor(cursor, str)
        paths = sorted({path for path, _ in self._db.revisions if start is None or path > start[0]})
        limit = max(1, min(limit, PAGE_MAX))
        more = len(paths) > limit
        items = [self._of(path)[-1] for path in paths[:limit]]
        return RevisionPage(items=items, next=encode_cursor(paths[limit - 1]) if more else None)

    async def all(self, source_path: str | None = None) -> Sequence[Revision]:
        return [item for key, item in sorted(self._db.revisions.items()) if source_path in (None, key[0])]

    async def remove(self, keys: Collection[Key]) -> Sequence[str]:
        uses = await MemoryJobUsage(self._db).in_use()
        if held := sorted(uses.keys() & set(keys)):
            raise still_used(*held[0], {uses[key] for key in held}, len(held) - 1)
        gone = {self._db.revisions.pop(key).digest for key in keys if key in self._db.revisions}
        return sorted(gone - {item.digest for item in self._db.revisions.values()})

    async def applied(self, source_path: str, revision: int, *, now: datetime) -> None:
        if (source_path, revision) in self._db.revisions:
            self._db.applied.add((source_path, revision))

    async def ever_applied(self, source_path: str | None = None) -> frozenset[Key]:
        return frozenset(key for key in self._db.applied & self._db.revisions.keys() if source_path in (None, key[0]))

    def _of(self, path: str) -> list[Revision]:
        return [item for key, item in sorted(self._db.revisions.items()) if key[0] == path]


class MemoryPlacements:
    """Placements in memory."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def of(
        self, source_path: str, *, revision: int = 0, limit: int = 200, cursor: str | None = None
    ) -> PlacementPage:
        held = [
            (key, one)
            for key, one in sorted(self._db.placements.items())
            if one.held.source_path == source_path and revision in (0, one.held.revision)
        ]
        return self._page(held, limit, cursor)

    async def on(self, node: str, *, limit: int = 200, cursor: str | None = None) -> PlacementPage:
        held = [
            (key, one) for key, one in sorted(self._db.placements.items()) if key[0] == node and one.held.source_path
        ]
        return self._page(held, limit, cursor)

    def _page(self, held: Sequence[tuple[tuple[str, str], Placement]], limit: int, cursor: str | None) -> PlacementPage:
        start = decode_cursor(cursor, str, str) or ("", "")
        found = [(key, one) for key, one in held if key > start]
        more = len(found) > limit
        return PlacementPage(
            items=[one for _, one in found[:limit]], next=encode_cursor(*found[limit - 1][0]) if more else None
        )


class MemoryJobUsage:
    """Usage by open jobs of kind `file`."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def in_use(self) -> Mapping[Key, str]:
        return uses_of(
            (job.id, as_mapping(job.spec))
            for job in self._db.jobs.values()
            if isinstance(job.spec, FileSpec) and self._db.job_rows[job.id].state is JobState.OPEN
        )
