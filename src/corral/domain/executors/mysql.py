"""Kind mysql: SQL on a MySQL or a MariaDB, sent by the node."""

from __future__ import annotations

from typing import Final

from corral.domain.executors import sqltask
from corral.domain.executors.contract import ExecutorKind

READS: Final = frozenset({"SELECT", "WITH", "TABLE", "VALUES", "SHOW", "EXPLAIN", "DESCRIBE", "DESC", "CHECKSUM"})
"""First words a read-only task may begin with. An anonymous block (BEGIN NOT ATOMIC, IF, WHILE …) or a CALL could end the
read-only transaction from inside, so none of them is here."""
ROLLS_BACK: Final = frozenset({"SELECT", "WITH", "TABLE", "VALUES", "SHOW", "EXPLAIN", "DESCRIBE", "DESC"}) | frozenset(
    {"INSERT", "UPDATE", "DELETE", "REPLACE", "DO"}
)
"""First words of what a dry run can take back; everything else commits by itself or might (SET autocommit)."""

KIND: Final = ExecutorKind(
    name="mysql",
    summary="SQL on a MySQL or MariaDB database",
    module="corral.agent.executors.mysql",
    permission=sqltask.PERMISSION,
    schema=sqltask.SCHEMA,
    line=sqltask.line,
    engines=("mysql", "mariadb"),
    changes=sqltask.changes,
    more=sqltask.more,
)
