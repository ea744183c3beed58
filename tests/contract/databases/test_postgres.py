"""Kind postgres against a real PostgreSQL."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.postgres

ROWS = 50


@pytest.fixture
def table(pg: Any) -> Any:
    """The child, and a table t of ROWS rows."""
    pg.ok(
        statements=[
            "create table t (id int primary key, name text, price numeric(8,2))",
            f"insert into t select g, 'n' || g, g * 1.25 from generate_series(1, {ROWS}) g",
        ]
    )
    return pg


def count(child: Any) -> int:
    return int(child.values("select count(*) as n from t")[0]["n"])


def test_statements_run_in_order_and_each_says_what_it_did(pg: Any) -> None:
    ran = pg.ok(
        statements=[
            "create table t (id int, note text)",
            "insert into t values (1, 'a'), (2, null)",
            "table t order by id",
        ]
    )
    assert "(statement 2: 2 rows affected" in ran.out
    assert " 1 | a\n 2 | NULL\n(statement 3: 2 rows" in ran.out
    assert [one["affected"] for one in ran.outcome["statements"]] == [None, 2, None]
    assert ran.outcome["statements"][2]["columns"] == ["id", "note"]
    assert ran.outcome["done"] == 3


def test_json_has_the_types_a_program_expects(pg: Any) -> None:
    ran = pg.ok(
        sql="""select 1 as n, 2.5::float8 as f, 1.10::numeric as exact, true as yes, null as none, '{"a":[1]}'::jsonb as j, 1 as n""",
        format="json",
    )
    assert ran.rows == [{"n": 1, "f": 2.5, "exact": "1.10", "yes": True, "none": None, "j": {"a": [1]}, "n_2": 1}]


def test_csv_keeps_line_ends_and_quotes(pg: Any) -> None:
    ran = pg.ok(sql="""select E'a\\n"b"' as x, '' as y, null as z""", format="csv")
    assert ran.out == 'x,y,z\n"a\n""b""",,\n'


def test_a_table_shows_control_characters_as_escapes(pg: Any) -> None:
    ran = pg.ok(sql="select E'\\x1b[2J' as x")
    assert "\x1b" not in ran.out
    assert "\\x1b[2J" in ran.out


def test_arguments_are_bound_and_never_part_of_the_text(table: Any) -> None:
    ran = table.ok(
        sql="select id from t where name = $1 or id = $2", arguments=["'; drop table t; --", 7], format="json"
    )
    assert ran.rows == [{"id": 7}]
    assert count(table) == ROWS


def test_a_second_statement_in_one_text_is_refused_by_the_protocol(table: Any) -> None:
    ran = table.run(sql="select 1; delete from t")
    assert ran.status == 1
    assert "cannot insert multiple commands into a prepared statement" in ran.err
    assert count(table) == ROWS


def test_a_value_that_does_not_fit_into_memory_ends_the_task_alone(table: Any) -> None:
    ran = table.run(statements=["select repeat('x', 400000000)", "delete from t"])
    assert ran.status == 1
    assert "memory" in ran.err
    assert "Traceback" not in ran.err
    assert count(table) == ROWS


def test_the_first_failure_ends_the_task_and_says_what_stays(table: Any) -> None:
    ran = table.run(statements=["delete from t where id = 1", "delete from nowhere", "delete from t"])
    assert ran.status == 1
    assert ran.err == (
        'cannot run statement 2 of 3: relation "nowhere" does not exist at character 13\n'
        "hint: statement 1 did run and stay in effect\n"
    )
    assert ran.outcome["done"] == 1
    assert count(table) == ROWS - 1


def test_rows_past_the_cap_are_cut_off_and_said_so(table: Any) -> None:
    for read_only in (False, True):
        ran = table.ok(sql="select id from t order by id", row_cap=3, read_only=read_only)
        assert ran.out.startswith("id\n--\n 1\n 2\n 3\n(3 rows, more were cut off")
        assert ran.outcome["statements"][0]["truncated"] is True


def test_a_changing_statement_whose_rows_are_cut_off_still_changes_all(table: Any) -> None:
    ran = table.ok(sql="delete from t returning id", row_cap=2)
    assert ran.outcome["statements"][0] | {"seconds": 0} == {
        "rows": 2,
        "affected": ROWS,
        "columns": ["id"],
        "seconds": 0,
        "truncated": True,
    }
    assert count(table) == 0


def test_the_database_ends_a_statement_that_takes_too_long(pg: Any) -> None:
    ran = pg.run(sql="select pg_sleep(20)", statement_timeout_seconds=0.3)
    assert ran.status == 1
    assert "canceling statement due to statement timeout" in ran.err


def test_a_dry_run_says_how_many_rows_and_changes_none(table: Any) -> None:
    ran = table.ok(statements=["update t set name = 'x' where id <= 10", "delete from t", "drop table t"], dry_run=True)
    assert "(statement 1: 10 rows would be affected, rolled back" in ran.out
    assert f"(statement 2: {ROWS} rows would be affected, rolled back" in ran.out
    assert table.values("select count(*) as n, count(*) filter (where name = 'x') as x from t") == [{"n": ROWS, "x": 0}]


@pytest.mark.parametrize("word", ["commit", "/* a /* b */ c */ end", "-- x\n rollback", "prepare transaction 'x'"])
def test_a_dry_run_cannot_be_left_by_a_transaction_command(table: Any, word: str) -> None:
    ran = table.run(statements=["delete from t", word, "delete from t"], dry_run=True)
    assert ran.status == 2
    assert "would leave the transaction of the dry run" in ran.err
    assert count(table) == ROWS


def test_a_dry_run_cannot_be_left_from_inside_a_block(table: Any) -> None:
    ran = table.run(sql="do $$ begin delete from t; commit; end $$", dry_run=True)
    assert ran.status == 1
    assert "invalid transaction termination" in ran.err
    assert count(table) == ROWS


def test_a_dry_run_finds_what_a_deferred_constraint_would_refuse(table: Any) -> None:
    table.ok(sql="create table child (id int references t deferrable initially deferred)")
    ran = table.run(sql="insert into child values (999)", dry_run=True)
    assert ran.status == 1
    assert "a deferred constraint would refuse it" in ran.err


def test_explain_estimates_and_runs_nothing(table: Any) -> None:
    table.ok(sql="analyze t")
    ran = table.ok(statements=["delete from t where id > 0", "create table u (id int)"], mode="explain")
    assert "Delete on t" in ran.out
    assert "Seq Scan on t" in ran.out
    assert f"(statement 1: about {ROWS} rows estimated, nothing was run" in ran.out
    assert "no plan: PostgreSQL explains no CREATE" in ran.out
    assert ran.outcome["statements"][0]["estimate"] == ROWS
    assert count(table) == ROWS


def test_explain_takes_arguments_and_is_read_only_too(table: Any) -> None:
    for read_only in (False, True):
        ran = table.ok(sql="delete from t where id = $1", arguments=[7], mode="explain", read_only=read_only)
        assert ran.outcome["statements"][0]["estimate"] == 1
    assert count(table) == ROWS


def test_explain_cannot_be_made_to_run_by_its_text(table: Any) -> None:
    for text in ("analyze delete from t", "(analyze) delete from t"):
        table.run(sql=text, mode="explain")
    assert count(table) == ROWS


def test_cancelling_the_task_ends_the_query_in_the_database(pg: Any, cluster: Any) -> None:
    running = "select count(*) as n from pg_stat_activity where query like 'select pg_sleep(600%' and state = 'active'"
    process = pg.start(sql="select pg_sleep(600)", statement_timeout_seconds=600, deadline=600)
    for _ in range(200):
        if pg.values(running) == [{"n": 1}]:
            break
    else:
        pytest.fail("the query never began")
    process.send_signal(signal.SIGTERM)
    ran = pg.end(process)
    assert ran.status == 143
    assert pg.values(running) == [{"n": 0}]


def test_copy_with_the_client_is_refused_with_a_remedy(table: Any) -> None:
    for text in ("copy t from stdin", "copy t to stdout"):
        ran = table.run(sql=text)
        assert ran.status == 1
        assert "COPY from or to the client is not possible" in ran.err


def test_a_connection_that_fails_says_why_and_shows_no_password(pg: Any) -> None:
    broken = type(pg)("postgres", {**pg.connection, "database": "nosuch", "password": "s3cret"}, pg.directory)
    ran = broken.run(sql="select 1")
    assert ran.status == 1
    assert ran.err.startswith("cannot connect to 'main': ")
    assert "nosuch" in ran.err
    assert "s3cret" not in ran.err


def test_without_the_driver_the_child_names_the_command_that_installs_it(pg: Any, tmp_path: Path) -> None:
    document = {"v": 1, "kind": "postgres", "params": {"sql": "select 1"}, "connection": dict(pg.connection)}
    (tmp_path / "psycopg.py").write_text("raise ImportError('not here')\n")
    script = (
        f"import sys, runpy; sys.path.insert(0, {str(tmp_path)!r}); sys.argv[1:] = [];"
        "runpy.run_module('corral.agent.executors.postgres', run_name='__main__')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(document).encode(),
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 3
    assert b"psycopg is not installed on this node" in ran.stderr
    assert b"pip install" in ran.stderr
