"""Messages nobody could understand, each with its reason (ports/jobs.py DeadLetters): kept to look at, bounded per node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from corral.runtime.clock import Clock
from corral.server.application.ports.jobs import DeadLetter
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.statements import Statement, as_set
from corral.server.infrastructure.sql.values import at, clean, seconds

KEPT_PER_HOUR: Final = 100
LOOK_AGAIN_SECONDS: Final = 60.0
"""How long a node that has its hundred is not asked for in the database."""
BODY_BYTES: Final = 4096
"""Enough to see what it was; a node must not fill the database with what nobody can read."""
_COUNT: Final = Statement(
    "select node, count(*) from dead_letters where node in $in(nodes) and at > :since group by node"
)
_ADD_ONE: Final = Statement(
    "insert into dead_letters (at, node, subject, reason, body) values (:at, :node, :subject, :reason, :body)"
)
_LIST: Final = Statement("select at, node, subject, reason, body from dead_letters order by id desc limit :limit")


class SqlDeadLetters:
    """DeadLetters over SQLite or PostgreSQL: 100 an hour and node; `dropped` counts the others since the start."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._full: dict[str, float] = {}
        self.dropped = 0

    async def add(self, letters: Sequence[DeadLetter]) -> None:
        now = seconds(self._clock.now())
        letters = self._of_nodes_with_room(letters, now)
        if not letters:
            return
        async with self._db.write() as tx:
            counted = await tx.rows(_COUNT, nodes=as_set({clean(letter.node) for letter in letters}), since=now - 3600)
            kept = {row[0]: int(row[1]) for row in counted}
            for letter in letters:
                node = clean(letter.node)[:63]
                if kept.get(node, 0) >= KEPT_PER_HOUR:
                    self.dropped += 1
                    self._full[node] = now + LOOK_AGAIN_SECONDS
                    continue
                kept[node] = kept.get(node, 0) + 1
                # At most 100 an hour and node, so a statement each does no harm, and bodies are bytes.
                await tx.run(
                    _ADD_ONE,
                    at=now if letter.at is None else seconds(letter.at),
                    node=node,
                    subject=clean(letter.subject)[:512],
                    reason=clean(letter.reason)[:512],
                    body=letter.body[:BODY_BYTES],
                )

    def _of_nodes_with_room(self, letters: Sequence[DeadLetter], now: float) -> Sequence[DeadLetter]:
        """A node that sends nothing but poison must not cost a transaction for each batch of it."""
        self._full = {node: until for node, until in self._full.items() if until > now}
        if not self._full:
            return letters
        room = [letter for letter in letters if clean(letter.node)[:63] not in self._full]
        self.dropped += len(letters) - len(room)
        return room

    async def list(self, *, limit: int = 50) -> Sequence[DeadLetter]:
        async with self._db.read() as tx:
            rows = await tx.rows(_LIST, limit=max(1, min(limit, 1000)))
        return [
            DeadLetter(at=at(when), node=node, subject=subject, reason=reason, body=bytes(body))
            for when, node, subject, reason, body in rows
        ]
