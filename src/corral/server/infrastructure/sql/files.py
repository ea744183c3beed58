"""Revisions of artifacts, and which of them open jobs need. The bytes are in the engine, never here."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from corral.domain.artifact import Archive, FileOp, Revision, unchanged
from corral.domain.artifact_use import still_used
from corral.domain.errors import NotFound
from corral.server.application.ports.files import Key, RevisionPage
from corral.server.infrastructure.sql.database import Database, Tx
from corral.server.infrastructure.sql.statements import Statement, as_set
from corral.server.infrastructure.sql.values import at, clean, decode_cursor, encode_cursor, seconds

PAGE_MAX: Final = 1000
_COLUMNS: Final = ("source_path", "revision", "digest", "size", "mode", "archive", "created_at", "created_by")
_SELECT: Final = "select " + ", ".join(f"t.{name}" for name in _COLUMNS)
_NAME: Final = Statement(
    "insert into artifacts (source_path, last_revision) values (:source_path, 0) on conflict (source_path) do nothing"
)
_LOCK: Final = Statement("select t.last_revision from artifacts t where t.source_path = :source_path $lock")
_NUMBER: Final = Statement("update artifacts set last_revision = :revision where source_path = :source_path")
_ADD: Final = Statement(
    """
    insert into revisions (source_path, revision, digest, size, mode, archive, created_at, created_by)
    values (:source_path, :revision, :digest, :size, :mode, :archive, :created_at, :created_by)
    """
)
_GET: Final = Statement(f"{_SELECT} from revisions t where t.source_path = :source_path and t.revision = :revision")
_NEWEST: Final = Statement(
    f"{_SELECT} from revisions t where t.source_path = :source_path order by t.revision desc limit 1"
)
_PAGE: Final = Statement(
    f"""
    {_SELECT} from revisions t where t.source_path = :source_path and t.revision < :before
    order by t.revision desc limit :limit
    """,
    out=_COLUMNS,
)
_ARTIFACTS: Final = Statement(
    f"""
    {_SELECT} from revisions t
    where t.source_path > :after
      and t.revision = (select max(n.revision) from revisions n where n.source_path = t.source_path)
    order by t.source_path limit :limit
    """,
    out=_COLUMNS,
)
_ALL: Final = Statement(f"{_SELECT} from revisions t order by t.source_path, t.revision", out=_COLUMNS)
_ALL_OF: Final = Statement(
    f"{_SELECT} from revisions t where t.source_path = :source_path order by t.revision", out=_COLUMNS
)
_KEYS: Final = {"source_path": "text", "revision": "integer"}
_DIGESTS: Final = Statement(
    """
    select distinct t.digest from $rows join revisions t on t.source_path = v.source_path and t.revision = v.revision
    """,
    _KEYS,
    out=("digest",),
)
_LOCK_THESE: Final = Statement(
    """
    select t.source_path, t.revision from $rows join revisions t
    on t.source_path = v.source_path and t.revision = v.revision order by t.source_path, t.revision $lock
    """,
    _KEYS,
    out=tuple(_KEYS),
)
_REMOVE: Final = Statement(
    """
    delete from revisions where exists (
      select 1 from $rows where revisions.source_path = v.source_path and revisions.revision = v.revision
    )
    """,
    _KEYS,
)
_STILL: Final = Statement("select distinct t.digest from revisions t where t.digest in $in(digests)", out=("digest",))
_APPLIED: Final = Statement(
    "update revisions set applied_at = :now where source_path = :source_path and revision = :revision"
)
_EVER: Final = Statement(
    "select t.source_path, t.revision from revisions t where t.applied_at is not null", out=tuple(_KEYS)
)
_OPEN_FILE_JOBS: Final = Statement(
    "select t.id, t.spec from jobs t where t.state = 'open' and t.kind = 'file'", out=("id", "spec")
)


class SqlRevisionStore:
    """RevisionStore over SQLite or PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, revision: Revision) -> Revision:
        path = revision.source_path
        async with self._db.write() as tx:
            await tx.run(_NAME, source_path=path)
            last = await tx.row(_LOCK, source_path=path)  # racing commits of one path: the second sees the first
            assert last is not None
            newest = await _one(tx, _NEWEST, source_path=path)
            if newest is not None and unchanged(
                newest, digest=revision.digest, mode=revision.mode, archive=revision.archive
            ):
                return newest
            number = last[0] + 1
            await tx.run(_NUMBER, source_path=path, revision=number)
            values = {name: getattr(revision, name) for name in _COLUMNS}
            values |= {
                "revision": number,
                "archive": revision.archive.value,
                "created_at": seconds(revision.created_at),
                "created_by": clean(revision.created_by)[:128],
            }
            await tx.run(_ADD, **values)
            return _to_revision(tuple(values[name] for name in _COLUMNS))

    async def get(self, source_path: str, revision: int = 0) -> Revision:
        async with self._db.read() as tx:
            if revision:
                found = await _one(tx, _GET, source_path=clean(source_path), revision=min(revision, 2**31 - 1))
            else:
                found = await _one(tx, _NEWEST, source_path=clean(source_path))
        if found is None:
            raise no_revision(source_path, revision)
        return found

    async def revisions(self, source_path: str, *, limit: int, cursor: str | None = None) -> RevisionPage:
        start = decode_cursor(cursor, int)
        limit = max(1, min(limit, PAGE_MAX))
        before = 2**31 - 1 if start is None else max(0, min(start[0], 2**31 - 1))
        async with self._db.read() as tx:
            rows = await tx.rows(_PAGE, source_path=clean(source_path), before=before, limit=limit + 1)
        items = [_to_revision(row) for row in rows]
        if not items and start is None:
            raise no_revision(source_path, 0)
        return RevisionPage(
            items=items[:limit], next=encode_cursor(items[limit - 1].revision) if len(items) > limit else None
        )

    async def artifacts(self, *, limit: int, cursor: str | None = None) -> RevisionPage:
        start = decode_cursor(cursor, str)
        limit = max(1, min(limit, PAGE_MAX))
        async with self._db.read() as tx:
            rows = await tx.rows(_ARTIFACTS, after="" if start is None else start[0], limit=limit + 1)
        items = [_to_revision(row) for row in rows]
        return RevisionPage(
            items=items[:limit], next=encode_cursor(items[limit - 1].source_path) if len(items) > limit else None
        )

    async def all(self, source_path: str | None = None) -> Sequence[Revision]:
        async with self._db.read() as tx:
            if source_path is None:
                rows = await tx.rows(_ALL)
            else:
                rows = await tx.rows(_ALL_OF, source_path=clean(source_path))
        return [_to_revision(row) for row in rows]

    async def remove(self, keys: Collection[Key]) -> Sequence[str]:
        keys = set(keys)
        rows = [list(key) for key in sorted(keys)]
        if not rows:
            return []
        async with self._db.write() as tx:
            await tx.rows(_LOCK_THESE, rows)
            # only now: a job that was being submitted is committed, or will find its revision gone
            uses = uses_of((row[0], json.loads(row[1])) for row in await tx.rows(_OPEN_FILE_JOBS))
            if held := sorted(uses.keys() & keys):
                raise still_used(*held[0], {uses[key] for key in held}, len(held) - 1)
            digests = {row[0] for row in await tx.rows(_DIGESTS, rows)}
            await tx.run(_REMOVE, rows)
            still = {row[0] for row in await tx.rows(_STILL, digests=as_set(digests))}
        return sorted(digests - still)

    async def applied(self, source_path: str, revision: int, *, now: datetime) -> None:
        async with self._db.write() as tx:
            await tx.run(_APPLIED, source_path=source_path, revision=revision, now=seconds(now))

    async def ever_applied(self, source_path: str | None = None) -> frozenset[Key]:
        async with self._db.read() as tx:
            rows = await tx.rows(_EVER)
        return frozenset((row[0], row[1]) for row in rows if source_path in (None, row[0]))


class SqlJobUsage:
    """Usage by open jobs of kind `file`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def in_use(self) -> Mapping[Key, str]:
        async with self._db.read() as tx:
            rows = await tx.rows(_OPEN_FILE_JOBS)
        return uses_of((row[0], json.loads(row[1])) for row in rows)


def uses_of(jobs: Any) -> dict[Key, str]:
    """From (job id, spec mapping) pairs."""
    return {
        (spec["source"], spec["revision"]): job
        for job, spec in jobs
        if spec.get("op") == FileOp.APPLY and spec.get("source") and spec.get("revision")
    }


def no_revision(source_path: str, revision: int) -> NotFound:
    what = f"revision {revision} of {source_path[:120]!r}" if revision else f"an artifact {source_path[:120]!r}"
    return NotFound(
        f"cannot find {what}",
        element="revision" if revision else "source_path",
        hint=f"corral file history --source-path {source_path[:120]}" if revision else "corral file list",
    )


async def _one(tx: Tx, statement: Statement, **values: Any) -> Revision | None:
    row = await tx.row(statement, **values)
    return None if row is None else _to_revision(row)


def _to_revision(row: Sequence[Any]) -> Revision:
    source_path, revision, digest, size, mode, archive, created_at, created_by = row
    return Revision(
        source_path=source_path,
        revision=revision,
        digest=digest,
        size=size,
        mode=mode,
        archive=Archive(archive),
        created_at=at(created_at),
        created_by=created_by,
    )
