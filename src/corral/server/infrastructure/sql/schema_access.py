"""Users, roles, grants: the tables of migration 0002. The rules of schema.py hold."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from corral.server.infrastructure.sql.schema import metadata

roles = Table(
    "roles",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("permissions", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("max_nodes", Integer),
    Column("created_at", Float, nullable=False),
    Column("created_by", String(128), nullable=False),
    Column("resource_version", Integer, nullable=False, server_default="1"),
)
"""Own roles; the ready ones are code."""

role_grants = Table(
    "role_grants",
    metadata,
    Column("id", String(19), primary_key=True),
    Column("subject_kind", String(8), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("role", String(63), nullable=False),
    Column("selector", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("created_by", String(128), nullable=False),
    UniqueConstraint("subject_kind", "subject", "role", "selector"),
)
"""`subject` is a user's name or a group's."""
Index("role_grants_role", role_grants.c.role)
