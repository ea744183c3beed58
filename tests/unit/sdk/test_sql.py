"""`fleet.sql`: what is asked, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import corral
from corral.sdk.sql import SqlFinding, sql_task
from corral.testing.fake_api import TOKEN, FakeApi, node

ANSWER = {
    "worst": "approval",
    "statements": [
        {
            "number": 1,
            "text": "drop table t",
            "verb": "DROP",
            "tables": ["t"],
            "changes": True,
            "findings": [{"rule": "drop", "level": "approval", "message": "gone", "hint": "sure?"}],
        }
    ],
}


class SqlApi(FakeApi):
    asked: Any = None

    def _route(
        self, method: str, path: str, query: Mapping[str, str], body: Any, headers: Mapping[str, str]
    ) -> tuple[int, str, bytes]:
        if path == "/api/v1/sql/review":
            self.asked = body
            return self._ok(ANSWER)
        return super()._route(method, path, query, body, headers)


@pytest.fixture
def api() -> Iterator[SqlApi]:
    with SqlApi([node("db-1")]) as server:
        yield server


async def test_a_review_is_typed(api: SqlApi) -> None:
    async with corral.connect(api.url, TOKEN) as fleet:
        found = await fleet.sql.review("drop table t", engine="mysql", read_only=True)
    assert api.asked == {"sql": "drop table t", "engine": "mysql", "read_only": True}
    assert not found.clean
    (statement,) = found.statements
    assert (statement.number, statement.verb, statement.tables, statement.changes) == (1, "DROP", ("t",), True)
    assert statement.findings == (SqlFinding(rule="drop", level="approval", message="gone", hint="sure?"),)


def test_programs_without_asyncio_review_and_submit(api: SqlApi) -> None:
    with corral.connect_sync(api.url, TOKEN) as fleet:
        assert fleet.sql.review("drop table t", engine="mysql").worst == "approval"
        job = fleet.sql.submit("select 1", on="db-1", connection="shop", engine="mariadb", read_only=True, timeout=5.0)
        assert job.id
    body = dict(list(api.jobs.values())[-1].body)
    assert (body["kind"], body["connection"], body["timeout"]) == ("mysql", "shop", 5.0)
    assert body["params"] == {"sql": "select 1", "read_only": True}


def test_options_are_told_apart_into_params_and_limits() -> None:
    task = sql_task(
        "select 1", on="all", connection="c", engine="postgres", row_cap=5, format=None, dry_run=True, retries=2
    )
    assert task.body() == {
        "target": "all",
        "kind": "postgres",
        "connection": "c",
        "dry_run": True,
        "retries": 2,
        "params": {"sql": "select 1", "row_cap": 5},
    }
