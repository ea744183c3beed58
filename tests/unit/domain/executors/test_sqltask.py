"""The params of the SQL kinds and what their first words say."""

from __future__ import annotations

from typing import Any

import pytest

from corral.domain.errors import Invalid
from corral.domain.executors import clickhouse, mysql, postgres, sqltask
from corral.domain.executors.contract import ExecutorKind, check_executor
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.schema import check, check_schema

KINDS = [postgres.KIND, mysql.KIND, clickhouse.KIND]


def checked(**params: Any) -> None:
    check_executor(postgres.KIND, ExecutorSpec(kind="postgres", params=params, connection="main"))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_is_whole_and_its_schema_is_enforced(kind: ExecutorKind) -> None:
    check_schema(kind.schema)
    assert kind.permission == "sql.run"
    assert kind.module == f"corral.agent.executors.{kind.name}"
    assert kind.engines
    check(kind.schema, {"sql": "select 1", "read_only": True, "row_cap": 5, "arguments": [1, "a", True, None, 2.5]})


def test_exactly_one_of_sql_and_statements_is_needed() -> None:
    checked(sql="select 1")
    checked(statements=["select 1", "select 2"])
    for params in ({}, {"sql": "select 1", "statements": ["select 1"]}):
        with pytest.raises(Invalid, match="exactly one of sql and statements"):
            checked(**params)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"sql": "x" * 65537}, "65537 characters"),
        ({"statements": ["x" * 40000, "y" * 40000]}, "80000 characters of SQL"),
        ({"statements": ["select 1"] * 501}, "501 items"),
        ({"sql": ""}, "0 characters"),
        ({"sql": "select '\0'"}, "NUL character"),
        ({"sql": "select 1", "row_cap": 100_001}, "at most 100000"),
        ({"sql": "select 1", "statement_timeout_seconds": 0}, "at least 0.1"),
        ({"sql": "select 1", "mode": "analyze"}, "one of 'run', 'explain'"),
        ({"sql": "select 1", "limit": 1}, "there is no 'limit'"),
        ({"statements": ["select $1", "select 2"], "arguments": [1]}, "cannot bind arguments to 2 statements"),
    ],
)
def test_params_out_of_bounds_are_refused(params: dict[str, Any], says: str) -> None:
    with pytest.raises(Invalid, match=says.replace("(", "\\(")):
        checked(**params)


def test_what_reads_changes_nothing() -> None:
    assert sqltask.changes({"sql": "delete from t"})
    assert not sqltask.changes({"sql": "delete from t", "read_only": True})
    assert not sqltask.changes({"sql": "delete from t", "mode": "explain"})


def test_a_line_shows_the_beginning_and_how_much_follows() -> None:
    assert sqltask.line({"sql": "select\n  1"}) == "select 1"
    assert sqltask.line({"statements": ["a", "b", "c"], "read_only": True}) == "[read-only] a (+2 statements)"
    assert sqltask.line({"sql": "x" * 200, "mode": "explain"}) == "[explain] " + "x" * 119 + "…"


@pytest.mark.parametrize(
    ("text", "options", "word"),
    [
        ("select 1", {}, "SELECT"),
        ("  \n\t( (select 1))", {}, "SELECT"),
        ("-- a\n/* b */ delete", {}, "DELETE"),
        ("/* a /* b */ select */ delete", {"nested": True}, "DELETE"),
        ("/* a /* b */ select */ delete", {}, "SELECT"),
        ("# select\n delete", {"hashes": True}, "DELETE"),
        ("# select\n delete", {}, ""),
        ("/*! delete from t */ select 1", {"hashes": True}, sqltask.EXECUTABLE_COMMENT),
        ("/* x *//*M! delete */", {"hashes": True}, sqltask.EXECUTABLE_COMMENT),
        ("/* never ends select", {}, ""),
        ("/* /* */ select", {"nested": True}, ""),
        ("-- nothing else", {}, ""),
        ("", {}, ""),
        ("'select'", {}, ""),
        ("selectx 1", {}, "SELECTX"),
        ("select/**/1", {}, "SELECT"),
    ],
)
def test_the_first_word_is_found_past_what_means_nothing(text: str, options: dict[str, bool], word: str) -> None:
    assert sqltask.first_word(text, **options) == word


def test_nothing_that_may_begin_a_read_only_task_can_leave_it() -> None:
    leaving = {"CALL", "DO", "BEGIN", "COMMIT", "SET", "IF", "EXECUTE", "COPY", "LOAD", "HANDLER", "ANALYZE", ""}
    for reads in (postgres.READS, mysql.READS, clickhouse.READS):
        assert not reads & leaving
    assert not mysql.ROLLS_BACK & (leaving - {"DO"} | {"CREATE", "ALTER", "DROP", "TRUNCATE", "LOCK"})
