"""The table of what the presence of nodes was."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, String, Table, Text, text

from corral.server.infrastructure.sql.schema import metadata

presence_changes = Table(
    "presence_changes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("node", String(63), nullable=False),
    Column("at", Float, nullable=False),
    Column("presence", String(16), nullable=False),
    Column("worker_down", Boolean, nullable=False, server_default=text("false")),
    Column("reason", Text, nullable=False, server_default=""),
)
Index("presence_changes_of", presence_changes.c.node, presence_changes.c.at)
Index("presence_changes_at", presence_changes.c.at)
