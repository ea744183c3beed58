"""Kind clickhouse against a new ClickHouse engine: chdb behind our own transport. What the server of 2018 does not have is proved here.

Left out unless CORRAL_CHDB_PYTHON names a Python with chdb: python3 -m venv chdb && chdb/bin/pip install chdb.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corral.testing import chdb_http
from corral.testing.ports import free_port

ROWS = 50
PYTHON = os.environ.get("CORRAL_CHDB_PYTHON", "")
pytestmark = [
    pytest.mark.clickhouse,
    pytest.mark.skipif(
        not PYTHON,
        reason="CORRAL_CHDB_PYTHON names no Python with chdb: python3 -m venv chdb && chdb/bin/pip install chdb",
    ),
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    directory = tmp_path_factory.mktemp("chdb")
    process = subprocess.Popen([PYTHON, str(chdb_http.__file__), str(port), str(directory / "data")])
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            try:
                process.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail("the engine did not start")
        yield port
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def new(engine: int, ch: Any, tmp_path: Path) -> Any:
    connection = {**ch.connection, "port": engine, "database": ""}
    return type(ch)("clickhouse", connection, tmp_path)


@pytest.fixture
def table(new: Any) -> Any:
    new.ok(
        statements=[
            "create or replace table t (id UInt32, name String) engine = MergeTree() order by id",
            f"insert into t select number, concat('n', toString(number)) from numbers({ROWS})",
        ]
    )
    return new


def test_new_types_are_read(new: Any) -> None:
    ran = new.ok(
        sql="select true as yes, toLowCardinality(toNullable(5)) as n, [1, 2] as list, toDecimal32(1.10, 2) as exact, 'a\\tb' as text",
        format="json",
    )
    assert ran.rows == [{"yes": True, "n": 5, "list": "[1,2]", "exact": "1.1", "text": "a\tb"}]


def test_explain_shows_the_plan_and_estimates_rows(table: Any) -> None:
    ran = table.ok(statements=["select * from t where id > 3", "drop table t"], mode="explain")
    assert "ReadFromMergeTree" in ran.out
    assert f"(statement 1: about {ROWS} rows estimated, nothing was run" in ran.out
    assert "no plan: ClickHouse explains no DROP" in ran.out


def test_arguments_are_bound_by_the_engine(table: Any) -> None:
    ran = table.ok(
        sql="select id from t where name = {p1:String} or id = {p2:UInt32}",
        arguments=["'; drop table t", 7],
        format="json",
    )
    assert ran.rows == [{"id": 7}]


def test_nothing_changes_read_only(table: Any, unchecked: Any) -> None:
    for text in (
        "insert into t values (999, 'x')",
        "drop table t",
        "set readonly = 0",
        "select 1 settings readonly = 0",
    ):
        ran = unchecked(table).run(sql=text, read_only=True)
        assert ran.status == 1, ran
    assert table.values("select count(*) as n from t") == [{"n": ROWS}]
