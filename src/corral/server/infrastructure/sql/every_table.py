"""All tables: importing this makes `metadata` whole."""

from __future__ import annotations

from corral.server.infrastructure.sql import (  # noqa: F401  # each adds its tables to metadata
    schema_access,
    schema_approvals,
    schema_connections,
    schema_placements,
    schema_presence,
    schema_proof,
    schema_rules,
)
from corral.server.infrastructure.sql.schema import metadata

__all__ = ["metadata"]
