"""Kind clickhouse: SQL on a ClickHouse over its HTTP interface, sent by the node. It has no transactions, so no dry run."""

from __future__ import annotations

from typing import Final

from corral.domain.executors import sqltask
from corral.domain.executors.contract import ExecutorKind

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
