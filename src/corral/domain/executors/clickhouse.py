"""Kind clickhouse: SQL on a ClickHouse over its HTTP interface, sent by the node. It has no transactions, so no dry run."""

from __future__ import annotations

from typing import Final

from corral.domain.executors import sqltask
from corral.domain.executors.contract import ExecutorKind

READS: Final = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN"})
"""First words a read-only task may begin with; what they may do is up to the setting readonly=1 they run with."""

KIND: Final = ExecutorKind(
    name="clickhouse",
    summary="SQL on a ClickHouse database",
    module="corral.agent.executors.clickhouse",
    permission=sqltask.PERMISSION,
    schema=sqltask.SCHEMA,
    line=sqltask.line,
    engines=("clickhouse",),
    changes=sqltask.changes,
    more=sqltask.more,
)
