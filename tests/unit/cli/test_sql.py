"""`corral sql …` against a fake server: what is asked, what is submitted, what people and scripts read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from corral.domain.errors import Denied, NotFound
from corral.testing.fake_api import TOKEN, Act, FakeApi, node

Cli = Callable[..., Any]
ENGINES = {"orders": "postgres", "shop": "mariadb", "site": "http"}


class SqlApi(FakeApi):
    """Knows three connections, and finds DROP and COPY in a text."""

    asked: list[dict[str, Any]]

    def _route(
        self, method: str, path: str, query: Mapping[str, str], body: Any, headers: Mapping[str, str]
    ) -> tuple[int, str, bytes]:
        words = path.removeprefix("/api/v1/").split("/")
        if words[0] == "connections":
            if words[1] == "secret":
                raise Denied("cannot read connections: not allowed")
            if words[1] not in ENGINES:
                raise NotFound(f"cannot find connection {words[1]!r}")
            return self._ok({"name": words[1], "engine": ENGINES[words[1]]})
        if words[:2] == ["sql", "review"]:
            self.asked.append(body)
            return self._ok(self._review(body["sql"]))
        return super()._route(method, path, query, body, headers)

    @staticmethod
    def _review(sql: str) -> dict[str, Any]:
        levels = {"DROP": ("drop", "approval"), "COPY": ("program", "error"), "*": ("select_star", "note")}
        statements = []
        for number, text in enumerate(filter(str.strip, sql.split(";")), 1):
            found = [
                {"rule": rule, "level": level, "message": f"{word} found", "hint": "think twice"}
                for word, (rule, level) in levels.items()
                if word in text.upper()
            ]
            statements.append(
                {
                    "number": number,
                    "text": text.strip(),
                    "verb": text.split()[0].upper(),
                    "tables": [],
                    "changes": not text.strip().upper().startswith("SELECT"),
                    "findings": found,
                }
            )
        order = ["off", "note", "warning", "approval", "error"]
        worst = max((f["level"] for one in statements for f in one["findings"]), key=order.index, default="off")
        return {"worst": worst, "statements": statements}


def act(name: str, body: Mapping[str, Any]) -> Act:
    return Act(stdout=b"n\n1\n" if body["params"].get("format") == "csv" else b"(1 row affected)\n")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlApi]:
    server = SqlApi([node("db-1"), node("db-2")], act=act)
    server.asked = []
    with server:
        monkeypatch.setenv("CORRAL_URL", server.url)
        monkeypatch.setenv("CORRAL_TOKEN", TOKEN)
        yield server


def submitted(api: FakeApi) -> dict[str, Any]:
    return dict(list(api.jobs.values())[-1].body)


def test_run_submits_the_kind_of_the_connection_s_engine(cli: Cli, api: SqlApi) -> None:
    result = cli(
        "sql", "run", "-t", "db-1", "-c", "shop", "--read-only", "--row-cap", "5", "--statement-timeout", "2s",
        "--format", "json", "--arg", "7", "--timeout", "1m", "select a from t where id = %s",
    )  # fmt: skip
    assert result.status == 0
    assert submitted(api) == {
        "target": "db-1",
        "kind": "mysql",
        "connection": "shop",
        "timeout": 60.0,
        "params": {
            "sql": "select a from t where id = %s",
            "read_only": True,
            "row_cap": 5,
            "statement_timeout_seconds": 2.0,
            "format": "json",
            "arguments": ["7"],
        },
    }


def test_an_engine_that_is_named_spares_the_question(cli: Cli, api: SqlApi) -> None:
    denied = cli("sql", "run", "-t", "db-1", "-c", "secret", "select 1")
    assert denied.status == 5
    assert "name the engine yourself: --engine" in denied.err
    assert cli("sql", "run", "-t", "db-1", "-c", "secret", "--engine", "clickhouse", "select 1").status == 0
    assert submitted(api)["kind"] == "clickhouse"


def test_dry_run_and_explain_are_asked_of_the_node(cli: Cli, api: SqlApi) -> None:
    assert cli("sql", "run", "-t", "db-1", "-c", "orders", "--dry-run", "drop table t").status == 0
    assert submitted(api)["dry_run"] is True
    assert cli("sql", "run", "-t", "db-1", "-c", "orders", "--explain", "drop table t").status == 0
    assert submitted(api)["params"] == {"sql": "drop table t", "mode": "explain"}


def test_the_output_of_one_node_is_exact(cli: Cli, api: SqlApi) -> None:
    result = cli("sql", "run", "-t", "db-1", "-c", "orders", "--format", "csv", "select 1 as n")
    assert result.out == "n\n1\n"


def test_a_file_is_sent_as_it_is(cli: Cli, api: SqlApi, tmp_path: Path) -> None:
    (tmp_path / "fix.sql").write_text("select 1;\n-- é\nselect 2;\n")
    assert cli("sql", "run", "-t", "db-1", "-c", "orders", "-f", "fix.sql").status == 0
    assert submitted(api)["params"]["sql"] == "select 1;\n-- é\nselect 2;\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "-t", "db-1", "-c", "orders"), "expected SQL or --file, got none"),
        (("run", "-t", "db-1", "-c", "orders", "-f", "x", "select 1"), "expected SQL or --file, got both"),
        (("run", "-t", "db-1", "select 1"), "without a connection"),
        (("run", "-c", "orders", "select 1"), "without nodes"),
        (("run", "-t", "db-1", "-c", "orders", "-f", "missing.sql"), "cannot read 'missing.sql'"),
        (("run", "-t", "db-1", "-c", "orders", "--explain", "--dry-run", "select 1"), "both explain and try"),
        (("run", "-t", "db-1", "-c", "site", "select 1"), "its engine is http"),
        (("review", "select 1"), "unknown engine"),
    ],
)
def test_what_does_not_go_together_is_refused(cli: Cli, api: SqlApi, words: tuple[str, ...], says: str) -> None:
    result = cli("sql", *words)
    assert result.status == 2
    assert says in result.err
    assert not api.jobs


def test_a_review_says_what_would_happen_and_submits_nothing(cli: Cli, api: SqlApi) -> None:
    for words in (("review",), ("run", "--review-only")):
        result = cli("sql", *words, "--engine", "mysql", "select * from t; drop table t")
        assert result.status == 1
        assert result.out == (
            "1. [reads] select * from t\n   note: * found [select_star]\n"
            "2. [changes] drop table t\n   approval: DROP found [drop]\n"
            "2 statements: would wait for approval\n"
        )
    assert api.asked == [{"sql": "select * from t; drop table t", "engine": "mysql"}] * 2
    assert not api.jobs


def test_a_clean_review_exits_with_0_and_an_error_with_1(cli: Cli, api: SqlApi) -> None:
    assert cli("sql", "review", "-c", "orders", "select * from t").status == 0
    refused = cli("sql", "review", "-c", "orders", "copy t to program 'x'", "-o", "wide")
    assert refused.status == 1
    assert "error: COPY found [program]; think twice" in refused.out
    assert "would be refused" in refused.out


def test_a_review_as_json_is_what_the_server_said(cli: Cli, api: SqlApi) -> None:
    result = cli("sql", "review", "--engine", "postgres", "drop table t", "-o", "json")
    assert json.loads(result.out)["statements"][0]["findings"][0]["rule"] == "drop"
