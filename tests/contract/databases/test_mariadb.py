"""Kind mysql against a real MariaDB."""

from __future__ import annotations

import signal
import sys
from typing import Any

import pytest

ROWS = 50
pytestmark = pytest.mark.mariadb
COMMITTING = [
    "drop table t",
    "alter table t add a int",
    "commit",
    "start transaction",
    "set autocommit = 0",
    "truncate t",
    "call p()",
    "/*! commit */",
    "# x\n commit",
    "begin not atomic commit; end",
    "lock tables t read",
    "create table u (a int)",
]


@pytest.fixture
def table(my: Any) -> Any:
    """The child, and a table t of ROWS rows."""
    my.ok(
        statements=[
            "create table t (id int primary key, name varchar(20), price decimal(8,2)) engine=innodb",
            f"insert into t select seq, concat('n', seq), seq * 1.25 from seq_1_to_{ROWS}",
        ]
    )
    return my


def count(child: Any) -> int:
    return int(child.values("select count(*) as n from t")[0]["n"])


def test_statements_run_in_order_and_each_says_what_it_did(my: Any) -> None:
    ran = my.ok(
        statements=[
            "create table t (id int, note text)",
            "insert into t values (1, 'a'), (2, null)",
            "select * from t order by id",
        ]
    )
    assert "(statement 2: 2 rows affected" in ran.out
    assert " 1 | a\n 2 | NULL\n(statement 3: 2 rows" in ran.out
    assert [one["affected"] for one in ran.outcome["statements"]] == [0, 2, None]
    assert ran.outcome["statements"][2]["columns"] == ["id", "note"]


def test_json_has_the_types_a_program_expects(my: Any) -> None:
    ran = my.ok(
        sql="select 1 as n, 2.5e0 as f, 1.10 as exact, null as none, 'é' as text, x'00ff' as raw, date'2026-11-21' as day, 1 as n",
        format="json",
    )
    assert ran.rows == [
        {"n": 1, "f": 2.5, "exact": "1.10", "none": None, "text": "é", "raw": "\\x00ff", "day": "2026-11-21", "n_2": 1}
    ]


def test_arguments_are_bound_and_never_part_of_the_text(table: Any) -> None:
    ran = table.ok(
        sql="select id from t where name = %s or id = %s", arguments=["'; drop table t; -- \\' ", 7], format="json"
    )
    assert ran.rows == [{"id": 7}]
    assert count(table) == ROWS
    wrong = table.run(sql="select id from t where id = %s", arguments=[1, 2])
    assert wrong.status == 1
    assert "placeholders and arguments do not fit" in wrong.err


def test_a_second_statement_in_one_text_is_refused_by_the_protocol(table: Any) -> None:
    ran = table.run(sql="select 1; delete from t")
    assert ran.status == 1
    assert "error in your SQL syntax" in ran.err
    assert count(table) == ROWS


def test_a_value_that_does_not_fit_into_memory_ends_the_task_alone(table: Any, mariadb_server: Any) -> None:
    mariadb_server.sql("set global max_allowed_packet = 1073741824")
    ran = table.run(statements=["select repeat('x', 500000000)", "delete from t"])
    assert ran.status == 1
    assert "memory" in ran.err
    assert "Traceback" not in ran.err
    assert count(table) == ROWS


def test_the_first_failure_ends_the_task_and_says_what_stays(table: Any) -> None:
    ran = table.run(statements=["delete from t where id = 1", "delete from nowhere", "delete from t"])
    assert ran.status == 1
    assert ran.err.startswith("cannot run statement 2 of 3: Table ")
    assert "doesn't exist (error 1146)\nhint: statement 1 did run and stay in effect\n" in ran.err
    assert count(table) == ROWS - 1


def test_rows_past_the_cap_are_cut_off_and_said_so(table: Any) -> None:
    for sql in ("select id from t order by id", "select id from t order by id limit 20"):
        ran = table.ok(sql=sql, row_cap=3)
        assert ran.out.startswith("id\n--\n 1\n 2\n 3\n(3 rows, more were cut off")


def test_the_row_cap_never_limits_what_is_written(table: Any) -> None:
    table.ok(statements=["create table u like t", "insert into u select * from t"], row_cap=2)
    assert table.values("select count(*) as n from u") == [{"n": ROWS}]


def test_the_database_ends_a_statement_that_takes_too_long(my: Any) -> None:
    ran = my.run(sql="select sleep(20)", statement_timeout_seconds=0.3)
    assert ran.status == 1
    assert "max_statement_time exceeded" in ran.err


def test_a_dry_run_says_how_many_rows_and_changes_none(table: Any) -> None:
    ran = table.ok(statements=["update t set name = 'x' where id <= 10", "delete from t"], dry_run=True)
    assert "(statement 1: 10 rows would be affected, rolled back" in ran.out
    assert f"(statement 2: {ROWS} rows would be affected, rolled back" in ran.out
    assert table.values("select count(*) as n, sum(name = 'x') as x from t") == [{"n": ROWS, "x": "0"}]


@pytest.mark.parametrize("text", COMMITTING)
def test_a_dry_run_refuses_what_commits_by_itself(table: Any, text: str) -> None:
    ran = table.run(statements=["delete from t", text], dry_run=True)
    assert ran.status == 2
    assert "MySQL commits" in ran.err
    assert count(table) == ROWS


def test_a_dry_run_refuses_a_table_without_transactions(table: Any) -> None:
    table.ok(statements=["create table old (a int) engine=myisam", "insert into old values (1)"])
    ran = table.run(sql="delete from `OLD`", dry_run=True)
    assert ran.status == 2
    assert "has no transactions" in ran.err
    assert table.values("select count(*) as n from old") == [{"n": 1}]


def test_a_dry_run_that_reached_such_a_table_by_a_trigger_fails_aloud(table: Any) -> None:
    table.ok(
        statements=[
            "create table log (a int) engine=myisam",
            "create trigger tr after delete on t for each row insert into log values (old.id)",
        ]
    )
    ran = table.run(sql="delete from t where id = 1", dry_run=True)
    assert ran.status == 1
    assert "cannot take everything back" in ran.err
    assert count(table) == ROWS


def test_explain_estimates_and_runs_nothing(table: Any) -> None:
    ran = table.ok(
        statements=["delete from t", "select * from t a join t b on a.id = b.id", "drop table t"], mode="explain"
    )
    assert f"(statement 1: about {ROWS} rows estimated, nothing was run" in ran.out
    assert "no plan: MySQL explains no DROP" in ran.out
    assert ran.outcome["statements"][1]["estimate"] == ROWS
    assert count(table) == ROWS


def test_explain_takes_arguments_and_is_read_only_too(table: Any) -> None:
    for read_only in (False, True):
        ran = table.ok(sql="delete from t where id = %s", arguments=[7], mode="explain", read_only=read_only)
        assert ran.outcome["statements"][0]["estimate"] == 1
    assert count(table) == ROWS


def test_cancelling_the_task_ends_the_query_in_the_database(my: Any, mariadb_server: Any) -> None:
    running = "select count(*) from information_schema.processlist where info like 'select sleep(600%'"
    process = my.start(sql="select sleep(600)", statement_timeout_seconds=600, deadline=600)
    for _ in range(200):
        if mariadb_server.sql(running).strip() == "1":
            break
    else:
        pytest.fail("the query never began")
    process.send_signal(signal.SIGTERM)
    ran = my.end(process)
    assert ran.status == 143
    assert mariadb_server.sql(running).strip() == "0"


def test_a_file_of_the_node_cannot_be_asked_for_by_the_server(table: Any) -> None:
    ran = table.run(sql="load data local infile '/etc/hostname' into table t")
    assert ran.status == 1
    assert count(table) == ROWS


def test_a_connection_that_fails_says_why_and_shows_no_password(my: Any) -> None:
    broken = type(my)("mysql", {**my.connection, "user": "nobody", "password": "s3crét"}, my.directory)
    ran = broken.run(sql="select 1")
    assert ran.status == 1
    assert ran.err.startswith("cannot connect to 'shop': Access denied")
    assert "s3cr" not in ran.err


def test_strings_end_where_the_review_saw_them_end_whatever_the_server_s_mode(my: Any, mariadb_server: Any) -> None:
    before = mariadb_server.sql("select @@global.sql_mode").strip()
    mariadb_server.sql("set global sql_mode = 'NO_BACKSLASH_ESCAPES,STRICT_TRANS_TABLES,ANSI'")
    try:
        ran = my.ok(sql="""select 'a\\' b' as x, "text" as y, @@sql_mode as mode""", format="json")
    finally:
        mariadb_server.sql(f"set global sql_mode = '{before}'")
    assert (ran.rows[0]["x"], ran.rows[0]["y"]) == ("a' b", "text")
    assert "STRICT_TRANS_TABLES" in ran.rows[0]["mode"]


def test_a_password_beyond_ascii_is_accepted(my: Any, mariadb_server: Any) -> None:
    mariadb_server.sql("create user if not exists ana identified by 'pässwörd€'; grant all on *.* to ana")
    child = type(my)("mysql", {**my.connection, "user": "ana", "password": "pässwörd€"}, my.directory)
    assert child.values("select 1 as n") == [{"n": 1}]


def test_where_the_server_limits_nothing_the_node_ends_the_statement(my: Any) -> None:
    """What MySQL needs, whose own limit is for SELECT alone: tried on MariaDB with its limit left unused."""

    class Unlimited(type(my)):  # type: ignore[misc]  # the class of the fixture's child, which no module exports
        def command(self) -> list[str]:
            script = (
                "import corral.agent.executors.mysql as m; made = m._Session.__init__\n"
                "def make(self, request, connection):\n"
                "    connection.get_server_info = lambda: '8.4.0'\n"
                "    made(self, request, connection)\n"
                "m._Session.__init__ = make; m.main(m.KIND, m.run)"
            )
            return [sys.executable, "-c", script]

    child = Unlimited(my.kind, my.connection, my.directory)
    for sql, says in (
        ("do sleep(20)", "it took longer than 0.5 s and was ended"),
        ("select count(*) from seq_1_to_1000000 a, seq_1_to_1000000 b", "Query execution was interrupted"),
    ):
        ran = child.run(sql=sql, statement_timeout_seconds=0.5)
        assert ran.status == 1
        assert says in ran.err
    child.ok(statements=["select 1", "select sleep(0.1)"], statement_timeout_seconds=5)
