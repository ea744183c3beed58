"""Users, roles, grants: the tables of migration 0002. The rules of schema.py hold."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from corral.server.infrastructure.sql.schema import metadata

users = Table(
    "users",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("display_name", Text, nullable=False, server_default=""),
    Column("email", Text, nullable=False, server_default=""),
    Column("password_hash", Text),
    Column("must_change", Boolean, nullable=False, server_default=text("false")),
    Column("source", String(8), nullable=False, server_default="local"),
    Column("subject", String(512), unique=True),
    Column("groups", Text, nullable=False, server_default="[]"),
    Column("disabled", Boolean, nullable=False, server_default=text("false")),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("invite_hash", LargeBinary, unique=True),
    Column("invite_expires_at", Float),
    Column("created_at", Float, nullable=False),
    Column("last_login_at", Float),
    Column("resource_version", Integer, nullable=False, server_default="1"),
)

login_attempts = Table(
    "login_attempts",
    metadata,
    Column("key", String(160), primary_key=True),
    Column("count", Integer, nullable=False),
    Column("lockouts", Integer, nullable=False),
    Column("until", Float, nullable=False),
    Column("last_at", Float, nullable=False),
)

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
