"""What is noteworthy about a parsed statement: one function per rule over sqlglot's tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlglot import exp

from corral.server.application.ports.review import Finding
from corral.server.application.review.rules import finding_of

_WRITES: Final = (exp.Insert, exp.Update, exp.Delete, exp.Merge)
_SLOW: Final = frozenset({"pg_sleep", "pg_sleep_for", "pg_sleep_until", "sleep", "benchmark", "sleepeachrow"})
_ACTING: Final = frozenset(
    (
        "pg_terminate_backend", "pg_cancel_backend", "pg_reload_conf", "pg_rotate_logfile", "pg_promote",
        "pg_switch_wal", "pg_create_restore_point", "pg_read_file", "pg_read_binary_file", "pg_ls_dir",
        "pg_stat_file", "pg_file_write", "pg_file_unlink", "pg_file_rename", "lo_import", "lo_export",
        "lo_create", "lo_unlink", "lo_put", "lowrite", "lo_from_bytea", "setval", "nextval", "set_config",
        "dblink", "dblink_exec", "dblink_connect", "query_to_xml", "pg_advisory_lock",
        "pg_logical_emit_message", "pg_drop_replication_slot", "pg_replication_slot_advance", "load_file",
        "sys_exec", "sys_eval", "get_lock", "release_lock", "file", "url", "remote", "remotesecure",
        "mysql", "postgresql", "jdbc", "odbc", "executable", "hdfs", "s3",
    )
)  # fmt: skip


def expression_findings(root: Any) -> tuple[list[Finding], bool]:
    """(findings, it may change something)."""
    found = [
        finding
        for look in (_where, _gone, _alter, _made, _files, _functions, _settings, _ctes, _into, _reading, _inserting)
        for finding in look(root)
    ]
    return found, not _only_reads(root)


def _only_reads(root: Any) -> bool:
    if isinstance(root, (exp.Show, exp.Describe, exp.Use)):
        return True
    if not isinstance(root, (exp.Query, exp.Values)):
        return False
    if root.find(*_WRITES) is not None or root.find(exp.Into) is not None:
        return False
    return not any(_function_name(node) in _ACTING for node in root.find_all(exp.Func))


def _where(root: Any) -> Iterator[Finding]:
    for node in root.find_all(exp.Update, exp.Delete):
        verb = node.key.upper()
        where = node.args.get("where")
        joined = verb == "DELETE" and node.args.get("tables")
        if where is None and not joined:
            yield finding_of("missing_where", f"{verb} without WHERE changes every row")
        elif where is not None and _always(where.this):
            yield finding_of("missing_where", f"{verb} with a WHERE that looks at no column changes every row or none")


def _always(condition: Any) -> bool:
    """A condition that is the same for every row: 1 = 1, true, $1 = 5."""
    return condition.find(exp.Column, exp.Subquery, exp.Exists, exp.Func) is None


def _gone(root: Any) -> Iterator[Finding]:
    if isinstance(root, exp.Drop):
        yield finding_of("drop", f"DROP {root.args.get('kind') or ''} cannot be undone".replace("  ", " "))
    elif isinstance(root, exp.TruncateTable):
        yield finding_of("truncate", "TRUNCATE takes every row and cannot be undone")
    elif isinstance(root, (exp.Detach, exp.Attach)):
        yield finding_of("command", f"{root.key.upper()} takes a table or database out of service or back")
    elif isinstance(root, (exp.Grant, exp.Revoke)):
        yield finding_of("grant", f"{root.key.upper()} changes who may do what")
    elif isinstance(root, exp.Kill):
        yield finding_of("server_setting", "KILL ends what somebody else is doing")


def _alter(root: Any) -> Iterator[Finding]:
    if not isinstance(root, exp.Alter):
        return
    yield finding_of("alter", "ALTER changes a table while others use it")
    if any(isinstance(action, exp.Drop) for action in root.args.get("actions") or ()):
        yield finding_of("drop", "ALTER … DROP cannot be undone")


def _made(root: Any) -> Iterator[Finding]:
    if isinstance(root, exp.Create) and str(root.args.get("kind")).upper() in {
        "FUNCTION",
        "PROCEDURE",
        "TRIGGER",
        "EVENT",
    }:
        yield finding_of("routine", f"CREATE {str(root.args['kind']).upper()}: its body runs later, unreviewed")


def _files(root: Any) -> Iterator[Finding]:
    if isinstance(root, exp.LoadData):
        yield finding_of("server_file", "LOAD DATA reads a file")
    if not isinstance(root, exp.Copy):
        return
    if "PROGRAM" in root.sql(dialect="postgres").upper():
        yield finding_of("program", "COPY … PROGRAM starts a program on the database's machine")
    yield finding_of("server_file", "COPY reads or writes a file of the database's machine")


def _functions(root: Any) -> Iterator[Finding]:
    names = {_function_name(node) for node in root.find_all(exp.Func)}
    for name in sorted(names & _ACTING):
        yield finding_of("function", f"{name}() does more than compute a value")
    for name in sorted(names & _SLOW):
        yield finding_of("slow_function", f"{name}() only waits")


def _function_name(node: Any) -> str:
    if isinstance(node, (exp.Anonymous, exp.AnonymousAggFunc)):
        return str(node.name).lower()
    return str(node.sql_name()).lower() if hasattr(node, "sql_name") else ""


def _settings(root: Any) -> Iterator[Finding]:
    if isinstance(root, exp.Set):
        text = root.sql().upper()
        if any(word in text for word in ("GLOBAL", "PERSIST")):
            yield finding_of("server_setting", "it is a setting of the whole server")
        else:
            yield finding_of("session_setting", "SET holds for the rest of the task")


def _ctes(root: Any) -> Iterator[Finding]:
    for cte in root.find_all(exp.CTE):
        if isinstance(cte.this, _WRITES):
            yield finding_of("cte_write", f"WITH … {cte.this.key.upper()} changes rows although it reads like a query")


def _into(root: Any) -> Iterator[Finding]:
    if isinstance(root, exp.Query) and root.find(exp.Into) is not None:
        yield finding_of("select_into", "SELECT … INTO makes a table")


def _reading(root: Any) -> Iterator[Finding]:
    selects = list(root.find_all(exp.Select))
    if any(isinstance(item, exp.Star) or _is_table_star(item) for one in selects for item in one.expressions):
        yield finding_of("select_star", "SELECT * reads every column, now and after the next change of the table")
    if any(one.args.get("limit") is not None and one.args.get("order") is None for one in [*selects, root]):
        yield finding_of("limit_order", "LIMIT without ORDER BY: which rows come is up to the database")
    if any(_crossed(one) for one in selects):
        yield finding_of("cross_join", "tables are joined without a condition")


def _is_table_star(item: Any) -> bool:
    return isinstance(item, exp.Column) and isinstance(item.this, exp.Star)


def _crossed(select: Any) -> bool:
    """A join without ON or USING, and no comparison between columns of two tables in WHERE; an explicit CROSS JOIN is meant."""
    loose = [
        join
        for join in select.args.get("joins") or ()
        if not (join.args.get("on") or join.args.get("using"))
        and join.kind.upper() != "CROSS"
        and join.method.upper() != "NATURAL"
        and not isinstance(join.this, (exp.Lateral, exp.Unnest))
        and not (isinstance(join.this, exp.Table) and isinstance(join.this.this, exp.Func))
    ]
    where = select.args.get("where")
    if not loose or where is None:
        return bool(loose)
    pairs = sum(
        isinstance(node.left, exp.Column)
        and isinstance(node.right, exp.Column)
        and (node.left.table != node.right.table or not node.left.table)
        for node in where.find_all(exp.EQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
    )
    return pairs < len(loose)


def _inserting(root: Any) -> Iterator[Finding]:
    if isinstance(root, exp.Insert) and isinstance(root.this, exp.Table):
        yield finding_of("insert_columns", "INSERT without a list of columns")
