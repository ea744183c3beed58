"""Secrets and the command policy: the tables of migration 0004. The rules of schema.py hold."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, LargeBinary, String, Table, Text

from corral.server.infrastructure.sql.schema import metadata

secrets = Table(
    "secrets",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("selector", Text, nullable=False, server_default="all"),
    Column("description", Text, nullable=False, server_default=""),
    Column("changed_at", Float, nullable=False),
    Column("changed_by", String(128), nullable=False),
)
"""`value` is sealed under `key`, and `key` under the master key, which is not in here."""

policy = Table(
    "policy",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("mode", String(16), nullable=False),
    Column("rules", Text, nullable=False),
    Column("changed_at", Float, nullable=False),
    Column("changed_by", String(128), nullable=False),
)
"""One row: the rules are read and replaced as a whole, under one revision."""
