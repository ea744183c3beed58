"""What the review finds in one statement of each engine. A new case is a line."""

from __future__ import annotations

import pytest

from corral.server.application.ports.review import Level
from corral.server.application.review.rules import RULES
from corral.server.infrastructure.review.judge import judge
from corral.server.infrastructure.review.split import split

READS, CHANGES = False, True
CASES = [
    # (engine, text, verb, does it change, rules found)
    ("postgres", "select 1", "SELECT", READS, ""),
    ("postgres", "select * from t", "SELECT", READS, "select_star"),
    ("postgres", "table t", "TABLE", READS, "select_star"),
    ("postgres", "values (1)", "VALUES", READS, ""),
    ("postgres", "show all", "SHOW", READS, ""),
    ("postgres", "select a from t limit 5", "SELECT", READS, "limit_order"),
    ("postgres", "select a from t order by a limit 5", "SELECT", READS, ""),
    ("postgres", "select a.x from a, b", "SELECT", READS, "cross_join"),
    ("postgres", "select a.x from a, b where a.x = b.x", "SELECT", READS, ""),
    ("postgres", "select a.x from a cross join b", "SELECT", READS, ""),
    ("postgres", "select x into u from t", "SELECT", CHANGES, "select_into"),
    ("postgres", "select pg_sleep(1)", "SELECT", READS, "slow_function"),
    ("postgres", "select lo_export(1, '/x')", "SELECT", CHANGES, "function"),
    ("postgres", "select pg_terminate_backend(1)", "SELECT", CHANGES, "function"),
    ("postgres", "delete from t", "DELETE", CHANGES, "missing_where"),
    ("postgres", "delete from t where 1 = 1", "DELETE", CHANGES, "missing_where"),
    ("postgres", "delete from t where true", "DELETE", CHANGES, "missing_where"),
    ("postgres", "delete from t where id = $1", "DELETE", CHANGES, ""),
    ("postgres", "update t set a = 1", "UPDATE", CHANGES, "missing_where"),
    ("postgres", "update t set a = u.a from u where t.id = u.id", "UPDATE", CHANGES, ""),
    ("postgres", "with x as (delete from t returning id) select id from x", "WITH", CHANGES, "cte_write missing_where"),
    ("postgres", "with x as (delete from t where id = 3 returning id) select id from x", "WITH", CHANGES, "cte_write"),
    ("postgres", "insert into t select 1", "INSERT", CHANGES, "insert_columns"),
    ("postgres", "insert into t (a) values (1)", "INSERT", CHANGES, ""),
    ("postgres", "drop table t", "DROP", CHANGES, "drop"),
    ("postgres", "alter table t drop column a", "ALTER", CHANGES, "alter drop"),
    ("postgres", "alter table t add column a int", "ALTER", CHANGES, "alter"),
    ("postgres", "truncate t", "TRUNCATE", CHANGES, "truncate"),
    ("postgres", "grant select on t to u", "GRANT", CHANGES, "grant"),
    ("postgres", "create role u", "CREATE ROLE", CHANGES, "grant"),
    ("postgres", "set role u", "SET ROLE", CHANGES, "grant"),
    ("postgres", "alter system set work_mem = '1GB'", "ALTER SYSTEM", CHANGES, "server_setting"),
    ("postgres", "set transaction read write", "SET", CHANGES, "session_setting"),
    ("postgres", "begin", "BEGIN", READS, "transaction"),
    ("postgres", "do $$ begin delete from t; end $$", "DO", CHANGES, "block"),
    ("postgres", "call p()", "CALL", CHANGES, "call"),
    ("postgres", "copy t to program 'x'", "COPY", CHANGES, "program server_file"),
    ("postgres", "COPY (select 1) TO  PROGRAM 'x'", "COPY", CHANGES, "program server_file"),
    ("postgres", "copy t from '/x'", "COPY", CHANGES, "server_file"),
    ("postgres", "create function f() returns int language sql as $$ select 1 $$", "CREATE", CHANGES, "routine"),
    ("postgres", "vacuum t", "VACUUM", CHANGES, "command"),
    ("postgres", "listen x", "LISTEN", CHANGES, "unparsable"),
    ("postgres", "selec 1", "SELEC", CHANGES, "unparsable"),
    ("postgres", "select 'open", "SELECT", CHANGES, "unparsable"),
    ("postgres", "\\d t", "\\", CHANGES, "client_command"),
    ("postgres", "explain delete from t", "EXPLAIN", READS, ""),
    ("postgres", "explain analyze delete from t", "EXPLAIN", CHANGES, "missing_where"),
    ("postgres", "explain (costs off, analyze) delete from t", "EXPLAIN", CHANGES, "missing_where"),
    ("postgres", "/* x */ explain analyze delete from t", "EXPLAIN", CHANGES, "missing_where"),
    ("postgres", "explain /* x */ analyze delete from t where id = 1", "EXPLAIN", CHANGES, "*"),
    ("postgres", "explain -- x\n analyze delete from t where id = 1", "EXPLAIN", CHANGES, "*"),
    ("postgres", "select a from t where b = '{{ secret.TOKEN }}'", "SELECT", READS, "secret_text"),
    ("mysql", "replace into t (a) values (1)", "REPLACE", CHANGES, "replace_rows"),
    ("mysql", "select length(%s) as n", "SELECT", READS, ""),
    ("mysql", "delete from t where id = %s", "DELETE", CHANGES, ""),
    ("mysql", "delete from t where %s", "DELETE", CHANGES, "missing_where"),
    ("mysql", "select a from t where a %% 2 = %s and b like '%%s'", "SELECT", READS, ""),
    ("mysql", "select a %s from t", "SELECT", READS, ""),
    ("mysql", "replace into t (a) values (%s)", "REPLACE", CHANGES, "replace_rows"),
    ("clickhouse", "select a from t where a = {p1:UInt32}", "SELECT", READS, ""),
    ("mysql", "load data infile 'x' into table t", "LOAD DATA", CHANGES, "server_file"),
    ("mysql", "select 1 into outfile '/x'", "SELECT", CHANGES, "server_file unparsable"),
    ("mysql", "select 1 into dumpfile '/x'", "SELECT", CHANGES, "server_file unparsable"),
    ("mysql", "/*! delete from t */", "", CHANGES, "executable_comment"),
    ("mysql", "select 1 /*!50000 into outfile '/x' */", "SELECT", CHANGES, "executable_comment"),
    ("mariadb", "select 1 /*M! into outfile '/x' */", "SELECT", CHANGES, "executable_comment"),
    ("mysql", "select 1 /* no more */", "SELECT", READS, ""),
    (
        "mysql",
        "select 1 --\u00a0x from (select 1 as `\u00a0x`) t into outfile '/x'",
        "SELECT",
        CHANGES,
        "ambiguous_comment",
    ),
    ("mysql", "select 1 -- x", "SELECT", READS, ""),
    ("mysql", "select 1 --\x01x", "SELECT", READS, ""),
    ("mysql", "select 1 --", "SELECT", READS, ""),
    ("mysql", "begin not atomic delete from t; end", "BEGIN NOT ATOMIC", CHANGES, "block"),
    ("mysql", "set global max_connections = 1", "SET GLOBAL", CHANGES, "server_setting"),
    ("mysql", "delete a from a join b on a.x = b.x", "DELETE", CHANGES, ""),
    ("mysql", "describe t", "DESCRIBE", READS, ""),
    ("mysql", "show processlist", "SHOW", READS, ""),
    ("mysql", "explain update t set a = 1", "EXPLAIN", READS, ""),
    ("mysql", "set sql_mode = 'NO_BACKSLASH_ESCAPES'", "SET", CHANGES, "session_setting lexing"),
    ("mysql", "set @@session.sql_mode = 'ANSI_QUOTES'", "SET", CHANGES, "session_setting lexing"),
    ("postgres", "set standard_conforming_strings = off", "SET", CHANGES, "session_setting lexing"),
    ("mysql", "lock tables t write", "LOCK TABLES", CHANGES, "command"),
    ("mysql", "kill 3", "KILL", CHANGES, "server_setting"),
    ("mysql", "delimiter //", "DELIMITER", CHANGES, "client_command"),
    ("clickhouse", "alter table t delete where 1", "ALTER", CHANGES, "alter missing_where"),
    ("clickhouse", "system flush logs", "SYSTEM", CHANGES, "server_setting"),
    ("clickhouse", "select a from url('http://x', CSV, 'a Int8')", "SELECT", CHANGES, "function"),
    ("clickhouse", "detach table t", "DETACH", CHANGES, "command"),
    ("clickhouse", "drop table t on cluster c", "DROP", CHANGES, "drop"),
]


@pytest.mark.parametrize(("engine", "text", "verb", "changes", "rules"), CASES, ids=[f"{c[0]}: {c[1]}" for c in CASES])
def test_a_statement_is_judged(engine: str, text: str, verb: str, changes: bool, rules: str) -> None:
    (piece,) = split(engine, text)
    found = judge(engine, piece)
    names = {finding.rule for finding in found.findings}
    assert found.changes is changes
    if rules != "*":
        assert names == set(rules.split())
        assert found.verb == verb
    assert found.text == text


def test_the_tables_are_named_without_those_that_with_made() -> None:
    (piece,) = split("postgres", 'with x as (select 1) select * from x join public.orders o on true, "Odd Name"')
    assert judge("postgres", piece).tables == ("Odd Name", "public.orders")


def test_every_rule_that_is_found_exists() -> None:
    found = {name for case in CASES for name in case[4].split() if name != "*"}
    assert found <= set(RULES)
    assert found | {"read_only"} == set(RULES)
    assert Level.OFF not in {rule.level for rule in RULES.values()}
