"""The table of what each node has at the paths that Corral placed. `place` is a hash of `dest`, which may be too long to index."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, PrimaryKeyConstraint, String, Table, Text

from corral.server.infrastructure.sql.schema import metadata

placements = Table(
    "placements",
    metadata,
    Column("node", String(63), nullable=False),
    Column("place", String(32), nullable=False),
    Column("dest", Text, nullable=False),
    Column("source_path", String(512), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("job", String(20), nullable=False),
    Column("at", Float, nullable=False),
    Column("before_source", String(512), nullable=False),
    Column("before_revision", Integer, nullable=False),
    Column("before_digest", String(64), nullable=False),
    PrimaryKeyConstraint("node", "place"),
    sqlite_with_rowid=False,
)
Index("placements_of", placements.c.source_path, placements.c.node, placements.c.place)
