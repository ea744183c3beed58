"""What each node has at the paths that Corral placed. Written with the reports of file tasks, in their transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from corral.domain.placement import Held, Placement, follows
from corral.server.application.ports.files import PlacementPage
from corral.server.infrastructure.sql.database import Database, Tx
from corral.server.infrastructure.sql.statements import Statement, as_set
from corral.server.infrastructure.sql.values import clean, decode_cursor, encode_cursor

PAGE_MAX: Final = 1000
_KEYS: Final = {"node": "text", "place": "text"}
_TYPES: Final = {
    **_KEYS,
    "dest": "text",
    "source_path": "text",
    "revision": "integer",
    "digest": "text",
    "job": "text",
    "at": "double precision",
    "before_source": "text",
    "before_revision": "integer",
    "before_digest": "text",
}
_SELECT: Final = "select " + ", ".join(f"t.{name}" for name in _TYPES)
_KNOWN: Final = Statement(
    f"{_SELECT} from $rows join placements t on t.node = v.node and t.place = v.place", _KEYS, out=tuple(_TYPES)
)
_SAVE: Final = Statement(
    f"""
    insert into placements ({", ".join(_TYPES)}) select {", ".join(f"v.{name}" for name in _TYPES)} from $rows
    join nodes n on n.id = v.node where true
    on conflict (node, place) do update set
      {", ".join(f"{name} = excluded.{name}" for name in _TYPES if name not in _KEYS)}
    """,
    _TYPES,
)
_WITH_DIGESTS: Final = Statement(
    "select t.digest, t.source_path, t.revision from revisions t where t.digest in $in(digests)",
    out=("digest", "source_path", "revision"),
)
_WHERE: Final = Statement(
    f"""
    {_SELECT} from placements t
    where t.source_path = :source_path and (:revision = 0 or t.revision = :revision)
      and (t.node > :node or (t.node = :node and t.place > :place))
    order by t.node, t.place limit :limit
    """,
    out=tuple(_TYPES),
)
_ON: Final = Statement(
    f"""
    {_SELECT} from placements t
    where t.node = :node and t.place > :place and t.source_path <> '' order by t.place limit :limit
    """,
    out=tuple(_TYPES),
)
FORGET: Final = Statement("delete from placements where node = :id")
"""For the transaction that removes the node."""


async def save_placements(tx: Tx, new: Sequence[Placement]) -> None:
    """Keep what is newer than what is known."""
    keys = sorted({(one.node, place_of(one.dest)) for one in new})
    known = {(row[0], row[1]): _to_placement(row) for row in await tx.rows(_KNOWN, [list(key) for key in keys])}
    unnamed = {one.held.digest for one in new if one.held.digest and not one.held.source_path}
    found: dict[str, list[tuple[str, int]]] = {}
    if unnamed and known:
        for digest, path, revision in await tx.rows(_WITH_DIGESTS, digests=as_set(unnamed)):
            found.setdefault(digest, []).append((path, revision))
    kept = set()
    for one in sorted(new, key=lambda placement: placement.at):
        key = (one.node, place_of(one.dest))
        made = follows(known.get(key), one, lambda digest: found.get(digest, ()))
        if made is not None:
            known[key] = made
            kept.add(key)
    if kept:
        await tx.run(_SAVE, [_values(known[key]) for key in sorted(kept)])


class SqlPlacements:
    """Placements over SQLite or PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of(
        self, source_path: str, *, revision: int = 0, limit: int = 200, cursor: str | None = None
    ) -> PlacementPage:
        node, place = decode_cursor(cursor, str, str) or ("", "")
        limit = max(1, min(limit, PAGE_MAX))
        async with self._db.read() as tx:
            rows = await tx.rows(
                _WHERE,
                source_path=clean(source_path),
                revision=min(revision, 2**31 - 1),
                node=node,
                place=place,
                limit=limit + 1,
            )
        return _page(rows, limit)

    async def on(self, node: str, *, limit: int = 200, cursor: str | None = None) -> PlacementPage:
        _, place = decode_cursor(cursor, str, str) or ("", "")
        limit = max(1, min(limit, PAGE_MAX))
        async with self._db.read() as tx:
            return _page(await tx.rows(_ON, node=clean(node), place=place, limit=limit + 1), limit)


def _page(rows: Sequence[Sequence[Any]], limit: int) -> PlacementPage:
    more = len(rows) > limit
    return PlacementPage(
        items=[_to_placement(row) for row in rows[:limit]],
        next=encode_cursor(rows[limit - 1][0], rows[limit - 1][1]) if more else None,
    )


def place_of(dest: str) -> str:
    return hashlib.sha256(clean(dest).encode()).hexdigest()[:32]


def _values(one: Placement) -> tuple[Any, ...]:
    held, before = one.held, one.before
    return (
        one.node,
        place_of(one.dest),
        clean(one.dest),
        held.source_path,
        held.revision,
        held.digest,
        one.job,
        one.at,
        before.source_path,
        before.revision,
        before.digest,
    )


def _to_placement(row: Sequence[Any]) -> Placement:
    node, _, dest, source_path, revision, digest, job, at, before_source, before_revision, before_digest = row
    return Placement(
        node=node,
        dest=dest,
        held=Held(source_path=source_path, revision=revision, digest=digest),
        job=job,
        at=at,
        before=Held(source_path=before_source, revision=before_revision, digest=before_digest),
    )
