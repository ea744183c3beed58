"""Named connections: the table of migration 0005. The rules of schema.py hold."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, String, Table, Text

from corral.server.infrastructure.sql.schema import metadata

connections = Table(
    "connections",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("engine", String(32), nullable=False),
    Column("host", Text, nullable=False, server_default=""),
    Column("port", Integer),
    Column("database", Text, nullable=False, server_default=""),
    Column("login", Text, nullable=False, server_default=""),
    Column("password_secret", String(64), nullable=False, server_default=""),
    Column("tls", Text, nullable=False, server_default="{}"),
    Column("options", Text, nullable=False, server_default="{}"),
    Column("selector", Text, nullable=False, server_default="all"),
    Column("description", Text, nullable=False, server_default=""),
    Column("changed_at", Float, nullable=False),
    Column("changed_by", String(128), nullable=False),
    Column("resource_version", Integer, nullable=False),
)
"""Without any credential: `password_secret` is the name of one."""
