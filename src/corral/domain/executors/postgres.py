"""Kind postgres: SQL on a PostgreSQL, sent by the node."""

from __future__ import annotations

from typing import Final

from corral.domain.executors import sqltask
from corral.domain.executors.contract import ExecutorKind

READS: Final = frozenset({"SELECT", "WITH", "TABLE", "VALUES", "SHOW", "EXPLAIN"})
"""First words a read-only task may begin with; what they may do is up to the read-only transaction they run in."""
TRANSACTION: Final = frozenset(
    {"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE"}
)
"""What would leave the transaction that a dry run rolls back."""

KIND: Final = ExecutorKind(
    name="postgres",
    summary="SQL on a PostgreSQL database",
    module="corral.agent.executors.postgres",
    permission=sqltask.PERMISSION,
    schema=sqltask.SCHEMA,
    line=sqltask.line,
    engines=("postgres",),
    changes=sqltask.changes,
    more=sqltask.more,
)
