"""T12: whatever a read-only task is given, the database holds afterwards what it held before.

Two lines of defence, tried apart: the child sends only statements that begin as reading ones do, and the database runs what it is sent
in a read-only transaction. Where the second line cannot hold for a superuser (programs, files, blocks that end the transaction), the least
privileged user of docs/sql.md is the boundary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest

ROWS = 50

POSTGRES = [
    "delete from t",
    "/* select 1 */ delete from t",
    "/* /* nested */ select 1 */ delete from t",
    "-- select 1\ndelete from t",
    "select 1; delete from t",
    "select ';'; delete from t",
    "select $$;$$; delete from t",
    "with x as (delete from t returning *) select * from x",
    "with x as (select 1) update t set name = 'x'",
    "insert into t values (999, 'x')",
    "merge into t using t u on t.id = u.id when matched then delete",
    "truncate t",
    "drop table t",
    "alter table t add column b int",
    "create table u (a int)",
    "select * into u from t",
    "do $$ begin delete from t; end $$",
    "do $$ begin execute 'set transaction read write'; delete from t; end $$",
    "do $$ begin commit; delete from t; end $$",
    "call empty_t()",
    "select emptied()",
    "select * from t where emptied() > 0",
    "explain analyze delete from t",
    "explain (analyze) select emptied()",
    "set transaction read write",
    "select set_config('transaction_read_only', 'off', true), emptied()",
    "copy t from program 'printf 999'",
    "copy t from '/etc/hostname'",
    "select nextval('numbers')",
    "lock table t in exclusive mode",
    "commit",
    "commit and chain",
    "rollback and chain",
    "set session characteristics as transaction read write",
    "set default_transaction_read_only = off",
    "prepare p as delete from t",
    "grant all on t to public",
    "vacuum t",
    "refresh materialized view m",
]
MARIADB = [
    "delete from t",
    "/* select 1 */ delete from t",
    "# select 1\ndelete from t",
    "-- select 1\ndelete from t",
    "/*! delete from t */",
    "/*!50000 delete */ from t",
    "/*M! delete from t */",
    "select 1; delete from t",
    "select ';'; delete from t",
    "select 1 /*! ; delete from t */",
    "insert into t values (999, 'x')",
    "replace into t values (1, 'x')",
    "update t set name = 'x'",
    "truncate t",
    "drop table t",
    "alter table t add column b int",
    "rename table t to u",
    "create table u (a int)",
    "create table u select * from t",
    "load data infile '/etc/hostname' into table t (name)",
    "load data local infile '/etc/hostname' into table t (name)",
    "call empty_t()",
    "select emptied()",
    "select * from t where emptied() > 0",
    "analyze delete from t",
    "explain delete from t",
    "commit",
    "set session transaction read write",
    "set autocommit = 0",
    "do emptied()",
    "handler t open",
    "optimize table t",
    "grant all on *.* to nobody",
    "lock tables t write",
    "prepare p from 'delete from t'",
    "execute immediate 'delete from t'",
]
ESCAPES_OF_MARIADB = [
    "begin not atomic commit; set session transaction read write; delete from t; end",
    "begin not atomic start transaction; delete from t; commit; end",
    "if 1 then begin not atomic commit; set session transaction read write; delete from t; end; end if",
    "call escaping_t()",
]
SEQUENCES = [
    ["commit", "delete from t"],
    ["set transaction read write", "delete from t"],
    ["set session characteristics as transaction read write", "delete from t"],
    ["commit and chain", "set transaction read write", "delete from t"],
    ["rollback", "begin", "delete from t", "commit"],
]
SEQUENCES_OF_MARIADB = [
    ["commit", "delete from t"],
    ["rollback", "start transaction", "delete from t", "commit"],
    ["set session transaction read write", "delete from t"],
    ["set autocommit = 0", "delete from t", "set autocommit = 1"],
]


@pytest.fixture
def pg_t(pg: Any) -> Any:
    pg.ok(
        statements=[
            "create table t (id int primary key, name text)",
            f"insert into t select g, 'n' || g from generate_series(1, {ROWS}) g",
            "create sequence numbers",
            "create materialized view m as select count(*) as n from t",
            "create procedure empty_t() language sql as 'delete from t'",
            "create function emptied() returns int language plpgsql as 'begin delete from t; return 1; end'",
        ]
    )
    return pg


@pytest.fixture
def my_t(my: Any) -> Any:
    my.ok(
        statements=[
            "create table t (id int primary key, name varchar(40)) engine=innodb",
            f"insert into t select seq, concat('n', seq) from seq_1_to_{ROWS}",
            "create procedure empty_t() delete from t",
            "create procedure escaping_t() begin commit; set session transaction read write; delete from t; end",
            "create function emptied() returns int deterministic begin delete from t; return 1; end",
        ]
    )
    return my


def state_of(child: Any) -> Any:
    """What the database holds, as far as any of the statements above could change it; asked without a child, which takes longer."""
    given = child.connection
    if child.kind == "postgres":
        with psycopg.connect(host=given["host"], dbname=given["database"], user="corral") as connection:
            return connection.execute(
                "select (select count(*) from t) as n, (select string_agg(name, ',' order by id) from t) as names,"
                " (select string_agg(relname, ',' order by relname) from pg_class where relnamespace = 'public'::regnamespace),"
                " (select count(*) from pg_attribute where attrelid = 't'::regclass),"
                " (select is_called from numbers), (select relacl::text from pg_class where relname = 't')"
            ).fetchone()
    connection = pymysql.connect(unix_socket=given["host"], database=given["database"], user="root")
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(
            "select (select count(*) from t) as n, (select group_concat(name order by id) from t) as names,"
            " (select group_concat(table_name order by table_name) from information_schema.tables"
            " where table_schema = database()),"
            " (select count(*) from information_schema.columns where table_schema = database())"
        )
        return cursor.fetchone()


def held(child: Any, before: Any, statements: list[str], runner: Any) -> None:
    ran = runner.run(statements=statements, read_only=True)
    assert ran.status in (0, 1, 2), ran
    assert state_of(child) == before, (statements, ran)


@pytest.mark.postgres
@pytest.mark.slow
def test_no_statement_changes_a_postgresql_read_only(pg_t: Any, unchecked: Callable[[Any], Any]) -> None:
    before = state_of(pg_t)
    for text in POSTGRES:
        held(pg_t, before, [text], pg_t)
        held(pg_t, before, [text], unchecked(pg_t))
    assert before[0] == ROWS


@pytest.mark.postgres
def test_no_sequence_of_statements_leaves_the_read_only_transactions(
    pg_t: Any, unchecked: Callable[[Any], Any]
) -> None:
    before = state_of(pg_t)
    for statements in SEQUENCES:
        held(pg_t, before, statements, pg_t)
        held(pg_t, before, statements, unchecked(pg_t))


@pytest.mark.postgres
def test_a_program_is_neither_sent_nor_allowed_to_the_least_privileged_user(
    pg_t: Any, pg_as: Callable[[str], Any], unchecked: Callable[[Any], Any], tmp_path: Path, cluster: Any
) -> None:
    marker = tmp_path / "started"
    statement = f"copy t to program 'cat > {marker}'"
    ran = pg_t.run(sql=statement, read_only=True)
    assert ran.status == 2
    assert "cannot run statement 1 read-only: it begins with COPY" in ran.err
    pg_t.ok(
        sql="do $$ begin if not exists (select from pg_roles where rolname = 'reader') then create role reader login; end if; end $$"
    )
    pg_t.ok(sql="grant select on t to reader")
    reader = unchecked(pg_as("reader"))
    assert len(reader.ok(sql="select id from t", read_only=True, format="json").rows) == ROWS
    ran = reader.run(sql=statement, read_only=True)
    assert ran.status == 1
    assert "pg_execute_server_program" in ran.err + ran.out
    assert not marker.exists()


@pytest.mark.mariadb
@pytest.mark.slow
def test_no_statement_changes_a_mariadb_read_only(my_t: Any, unchecked: Callable[[Any], Any]) -> None:
    before = state_of(my_t)
    for text in MARIADB:
        held(my_t, before, [text], my_t)
        held(my_t, before, [text], unchecked(my_t))
    assert before[0] == ROWS


@pytest.mark.mariadb
def test_no_sequence_of_statements_leaves_the_read_only_session(my_t: Any, unchecked: Callable[[Any], Any]) -> None:
    before = state_of(my_t)
    for statements in SEQUENCES_OF_MARIADB:
        held(my_t, before, statements, my_t)
    for statements in SEQUENCES_OF_MARIADB[:2]:
        held(my_t, before, statements, unchecked(my_t))


@pytest.mark.mariadb
def test_what_could_end_the_transaction_from_inside_is_not_sent(
    my_t: Any, unchecked: Callable[[Any], Any], mariadb_server: Any
) -> None:
    before = state_of(my_t)
    for text in ESCAPES_OF_MARIADB:
        ran = my_t.run(sql=text, read_only=True)
        assert ran.status == 2, ran
        assert "cannot run statement 1 read-only: it begins with" in ran.err
    mariadb_server.sql(f"create user if not exists reader; grant select on {my_t.connection['database']}.* to reader")
    reader = unchecked(type(my_t)("mysql", {**my_t.connection, "user": "reader"}, my_t.directory))
    assert len(reader.ok(sql="select id from t", read_only=True, format="json").rows) == ROWS
    for text in ESCAPES_OF_MARIADB:
        ran = reader.run(sql=text, read_only=True)
        assert ran.status == 1, ran
        assert "denied" in ran.err
    assert state_of(my_t) == before
