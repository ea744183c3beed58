"""A SQL task from its first statement to its last, over a database of the test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corral.agent.executors import sqlrun
from corral.agent.executors.contract import BadParams, Failed, Request
from corral.agent.executors.sqlrun import Answer, Refused, Rows, check_words, perform
from corral.agent.executors.sqltls import tls_of
from corral.domain.executors.sqltask import SCHEMA
from corral.domain.schema import with_defaults


class Database:
    def __init__(self, **answers: Answer | Refused) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def run(self, text: str) -> Answer:
        self.asked.append(text)
        found = self.answers.get(text, Answer(affected=1))
        if isinstance(found, Refused):
            raise found
        return found

    def explain(self, text: str) -> Answer:
        self.asked.append(f"explain {text}")
        return Answer(columns=("plan",), rows=(({"Node": "Seq Scan"},),), estimate=7, text="Seq Scan")


def request(*statements: str, dry_run: bool = False, **params: Any) -> Request:
    given = with_defaults(SCHEMA, {"statements": list(statements), **params})
    return Request(kind="postgres", params=given, connection=None, deadline_seconds=5, dry_run=dry_run)


@pytest.fixture
def outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    path = tmp_path / "result"
    monkeypatch.setenv("CORRAL_RESULT", str(path))
    monkeypatch.setattr(sqlrun, "_limit_memory", lambda: None)  # this process runs other tests too
    return lambda: json.loads(path.read_bytes())


def test_the_first_refusal_ends_it_and_its_outcome_tells_what_was_done(outcome: Any) -> None:
    database = Database(b=Refused("no such table"))
    with pytest.raises(Failed) as caught:
        perform(request("a", "a", "b", "c"), database)
    assert database.asked == ["a", "a", "b"]
    assert caught.value.message == "cannot run statement 3 of 4: no such table"
    assert caught.value.hint == "statements 1 to 2 did run and stay in effect"
    assert outcome()["done"] == 2


@pytest.mark.parametrize("changed", [{"dry_run": True}, {"read_only": True}])
def test_what_is_taken_back_is_not_said_to_stay(outcome: Any, changed: dict[str, bool]) -> None:
    with pytest.raises(Failed) as caught:
        perform(request("a", "b", **changed), Database(b=Refused("no")))
    assert caught.value.hint is None


def test_an_explained_statement_shows_its_plan_and_in_json_its_tree(outcome: Any, capsys: Any) -> None:
    database = Database()
    perform(request("a", mode="explain"), database)
    assert database.asked == ["explain a"]
    assert "Seq Scan\n(about 7 rows estimated, nothing was run" in capsys.readouterr().out
    assert outcome()["statements"][0]["estimate"] == 7
    perform(request("a", mode="explain", format="json"), Database())
    assert json.loads(capsys.readouterr().out) == [{"plan": {"Node": "Seq Scan"}}]


def test_an_outcome_that_would_be_too_large_loses_its_column_names(outcome: Any) -> None:
    wide = Answer(columns=[f"{i:060}" for i in range(400)], rows=[])
    perform(request(*["w"] * 100, format="csv"), Database(w=wide))
    found = outcome()
    assert found["done"] == len(found["statements"]) == 100
    assert found["statements"][0]["columns"] == []
    perform(request("w", format="csv"), Database(w=wide))
    assert len(outcome()["statements"][0]["columns"]) == 50


def test_rows_are_kept_up_to_both_caps(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows(cap=2)
    assert [rows.add((i,)) for i in range(4)] == [True, True, False, False]
    assert (len(rows.kept), rows.truncated) == (2, True)
    monkeypatch.setattr(sqlrun, "CELL_BYTES_MAX", 100)
    heavy = Rows(cap=1000)
    assert heavy.add(("x" * 90,))
    assert not heavy.add(("x" * 90,))
    assert not heavy.add(("x",))


def test_a_read_only_task_sends_only_what_begins_as_reading_does() -> None:
    check_words(request("select 1", read_only=True), ["SELECT"], {"SELECT"})
    check_words(request("delete"), ["DELETE"], {"SELECT"})
    check_words(request("delete", read_only=True, mode="explain"), ["DELETE"], {"SELECT"})
    for word, shown in (("DELETE", "DELETE"), ("", "nothing"), ("/*!", "a comment that MySQL executes")):
        with pytest.raises(BadParams, match=f"statement 2 read-only: it begins with {shown}"):
            check_words(request("select 1", "x", read_only=True), ["SELECT", word], {"SELECT"})


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        ({}, "prefer"),
        ({"mode": "off"}, "off"),
        ({"ca_file": "/etc/ca.pem"}, "verify"),
        ({"ca": "/etc/ca.pem"}, "verify"),
        ({"verify": "true"}, "verify"),
        ({"verify": False}, "require"),
        ({"verify": "false", "ca_file": "/etc/ca.pem"}, "require"),
        ({"mode": "require", "ca_file": "/etc/ca.pem"}, "require"),
    ],
)
def test_the_mode_of_tls_follows_from_what_is_given(given: dict[str, Any], mode: str) -> None:
    assert tls_of({"tls": given}).mode == mode


def test_pem_texts_become_files_in_memory_and_unknown_options_are_named() -> None:
    tls = tls_of(
        {"tls": {"ca": "-----BEGIN CERTIFICATE-----\n", "cert": "/etc/c.pem", "client_key_file": "/etc/k.pem"}}
    )
    assert (tls.cert, tls.key) == ("/etc/c.pem", "/etc/k.pem")
    assert tls.ca is not None
    assert Path(tls.ca).read_text() == "-----BEGIN CERTIFICATE-----\n"
    assert tls_of({"tls": None}).context() is not None
    assert tls_of({"tls": {"mode": "off"}}).context() is None
    for wrong in ({"mode": "maybe"}, {"cafile": "x"}, {"verify": "perhaps"}, {"ca_file": 1}):
        with pytest.raises(BadParams, match="cannot use TLS"):
            tls_of({"tls": wrong})
    with pytest.raises(BadParams, match="cannot use the TLS options"):
        tls.context()
