"""Kind clickhouse against a real ClickHouse: Debian's 18.16 of 2018. It has no EXPLAIN and no parameters."""

from __future__ import annotations

import signal
from typing import Any

import pytest

ROWS = 50
pytestmark = pytest.mark.clickhouse
CHANGING = [
    "insert into t values (999, 'x')",
    "drop table t",
    "truncate table t",
    "create table u (a UInt8) engine = Log",
    "alter table t drop column name",
    "set readonly = 0",
    "select 1; drop table t",
    "select 1 settings readonly = 0",
    "/* select */ drop table t",
    "-- select\ndrop table t",
    "rename table t to u",
    "optimize table t",
    "detach table t",
    "system reload config",
]


@pytest.fixture
def table(ch: Any) -> Any:
    """The child, and a table t of ROWS rows."""
    ch.ok(
        statements=[
            "create table t (id UInt32, name String) engine = MergeTree() order by id",
            f"insert into t select number, concat('n', toString(number)) from numbers({ROWS})",
        ]
    )
    return ch


def count(child: Any) -> int:
    return int(child.values("select count(*) as n from t")[0]["n"])


def test_statements_run_in_order_and_rows_come_back(ch: Any) -> None:
    ran = ch.ok(
        statements=[
            "create table t (id UInt32, note Nullable(String)) engine = Log",
            "insert into t values (1, 'a'), (2, null)",
            "select * from t order by id",
        ]
    )
    assert " 1 | a\n 2 | NULL\n(statement 3: 2 rows" in ran.out
    assert ran.outcome["statements"][2]["columns"] == ["id", "note"]
    assert ran.outcome["done"] == 3


def test_json_has_the_types_a_program_expects(ch: Any) -> None:
    ran = ch.ok(
        sql="select 1 as n, toInt64(-2) as i, 2.5 as f, 'a\\tb\\n\\\\c' as text, null as none, toDate('2018-12-19') as day",
        format="json",
    )
    assert ran.rows == [{"n": 1, "i": -2, "f": 2.5, "text": "a\tb\n\\c", "none": None, "day": "2018-12-19"}]


def test_statements_share_a_session(ch: Any) -> None:
    ran = ch.ok(
        statements=["create temporary table x (a UInt8)", "insert into x values (7)", "select a from x"], format="json"
    )
    assert ran.out.splitlines()[-1] == '[{"a":7}]'


def test_a_second_statement_in_one_text_is_refused_by_the_server(table: Any) -> None:
    ran = table.run(sql="select 1; drop table t")
    assert ran.status == 1
    assert "Multi-statements are not allowed" in ran.err
    assert count(table) == ROWS


def test_the_first_failure_ends_the_task_and_says_what_stays(table: Any) -> None:
    ran = table.run(statements=["insert into t values (999, 'x')", "select nope from t", "drop table t"])
    assert ran.status == 1
    assert ran.err.startswith("cannot run statement 2 of 3: Code: 47")
    assert "hint: statement 1 did run and stay in effect\n" in ran.err
    assert count(table) == ROWS + 1


def test_rows_past_the_cap_are_cut_off_and_said_so(table: Any) -> None:
    for read_only in (False, True):
        ran = table.ok(sql="select id from t order by id", row_cap=3, read_only=read_only)
        assert ran.out.startswith("id\n--\n 0\n 1\n 2\n(3 rows, more were cut off")


def test_a_result_without_end_stops_at_the_cap(ch: Any) -> None:
    ran = ch.ok(sql="select number from system.numbers", row_cap=10, read_only=True)
    assert "(10 rows, more were cut off" in ran.out


def test_a_failure_behind_the_first_rows_is_a_failure(ch: Any) -> None:
    ran = ch.run(sql="select throwIf(number = 400000) as x from numbers(500000)", row_cap=5)
    assert ran.status == 1
    assert "DB::Exception" in ran.err


def test_the_server_ends_a_statement_that_takes_too_long(ch: Any) -> None:
    ran = ch.run(sql="select count(*) from system.numbers", statement_timeout_seconds=1)
    assert ran.status == 1
    assert "Timeout exceeded" in ran.err


def test_nothing_changes_read_only(table: Any, unchecked: Any) -> None:
    for text in CHANGING:
        for child in (table, unchecked(table)):
            ran = child.run(sql=text, read_only=True)
            assert ran.status in (1, 2), ran
    assert table.values("select count(*) as n, max(id) as m, max(length(name)) as l from t") == [
        {"n": ROWS, "m": ROWS - 1, "l": 3}
    ]


def test_there_is_no_dry_run(table: Any) -> None:
    ran = table.run(sql="insert into t values (1, 'x')", dry_run=True)
    assert ran.status == 2
    assert "no transaction to roll back" in ran.err
    assert count(table) == ROWS


def test_cancelling_the_task_ends_the_query_in_the_database(ch: Any, clickhouse_server: Any) -> None:
    running = "select count(*) from system.processes where query like 'select count() from system.numbers%'"
    process = ch.start(
        sql="select count() from system.numbers where not ignore(number)", statement_timeout_seconds=600, deadline=600
    )
    for _ in range(2000):
        if clickhouse_server.sql(running).strip() == "1":
            break
    else:
        pytest.fail("the query never began")
    process.send_signal(signal.SIGTERM)
    assert ch.end(process).status == 143
    for _ in range(2000):
        if clickhouse_server.sql(running).strip() == "0":
            break
    else:
        pytest.fail("the query goes on")


def test_a_connection_that_fails_says_why_and_shows_no_password(ch: Any) -> None:
    broken = type(ch)("clickhouse", {**ch.connection, "password": "wrong-one"}, ch.directory)
    ran = broken.run(sql="select 1")
    assert ran.status == 1
    assert "cannot run statement 1 of 1: Code: 193" in ran.err
    assert "wrong-one" not in ran.err
    nowhere = type(ch)("clickhouse", {**ch.connection, "port": 1}, ch.directory)
    assert "the connection to 'facts' failed" in nowhere.run(sql="select 1").err
