"""PresenceLog in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from corral.domain.presence_log import PresenceChange
from corral.server.application.ports.nodes import PresencePage
from corral.server.infrastructure.sql.presence_log import since_cursor
from corral.server.infrastructure.sql.values import at, encode_cursor, seconds
from corral.testing.job_stores import MemoryDatabase


class MemoryPresenceLog:
    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def add(self, changes: Sequence[PresenceChange]) -> None:
        self._db.presence_log += [
            replace(change, at=at(seconds(change.at)))  # as a column of floats gives it back
            for change in changes
            if change.node in self._db.nodes
        ]

    async def read(self, node: str, *, limit: int, cursor: str | None = None) -> PresencePage:
        start = since_cursor(cursor)
        placed = sorted(
            ((seconds(change.at), place, change) for place, change in enumerate(self._db.presence_log)),
            key=lambda entry: entry[:2],
            reverse=True,
        )
        found = [entry for entry in placed if entry[2].node == node and (start is None or entry[:2] < start)]
        last = found[limit - 1] if len(found) > limit else None
        return PresencePage(
            items=[change for _, _, change in found[:limit]],
            until=None if start is None else at(start[0]),
            next=None if last is None else encode_cursor(last[0], last[1]),
        )
