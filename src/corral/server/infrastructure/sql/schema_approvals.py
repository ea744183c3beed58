"""Approvals and the rules that ask for them: the tables of migration 0006. The rules of schema.py hold."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, String, Table, Text, text

from corral.server.infrastructure.sql.schema import metadata

approvals = Table(
    "approvals",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("job", String(20), nullable=False),
    Column("asked_for", String(32), nullable=False),
    Column("why", Text, nullable=False),
    Column("spec_hash", String(80), nullable=False),
    Column("pinned", String(80), nullable=False),
    Column("nodes", Integer, nullable=False),
    Column("asked_by", String(128), nullable=False),
    Column("asked_user", String(32), nullable=False, server_default=""),
    Column("asked_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("state", String(16), nullable=False),
    Column("decided_by", String(128), nullable=False, server_default=""),
    Column("decided_at", Float),
    Column("note", Text, nullable=False, server_default=""),
)
Index("approvals_job", approvals.c.job)
Index("approvals_state", approvals.c.state, approvals.c.id)

approval_rules = Table(
    "approval_rules",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("kinds", Text, nullable=False, server_default="[]"),
    Column("selector", Text, nullable=False, server_default="all"),
    Column("min_nodes", Integer, nullable=False, server_default="1"),
    Column("reading", Boolean, nullable=False, server_default=text("false")),
    Column("changed_at", Float, nullable=False),
    Column("changed_by", String(128), nullable=False),
)
