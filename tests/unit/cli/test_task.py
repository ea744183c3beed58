"""`corral task` and `corral http`: words become params as the kind's schema says, and the job is followed as any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from corral.cli.taskparams import assertion, from_words
from corral.domain.errors import Invalid
from corral.domain.executors import http, service
from corral.testing.fake_api import Act, FakeApi

MORE = {
    "type": "object",
    "required": ["text"],
    "additionalProperties": False,
    "properties": {
        "text": {"type": "string", "description": "some words"},
        "count": {"type": "integer", "minimum": 1, "maximum": 67108864, "default": 3},
        "on": {"type": "boolean"},
        "list": {"type": "array", "items": {"type": "string"}},
        "codes": {"type": "array", "items": {"type": ["integer", "string"]}},
        "any": {"type": ["object", "array", "string", "number", "boolean", "null"]},
        "inner": {"type": "object", "properties": {"verify": {"type": "boolean"}, "names": {"type": "array"}}},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        "filter": {"type": "object"},
    },
}


@pytest.fixture
def kinds(api: FakeApi) -> list[dict[str, Any]]:
    own = {"permission": "exec.run", "allowed": True, "engines": [], "schema": None, "summary": "s"}
    api.kinds = [{**own, "name": "exec"}, {**own, "name": "file"}]
    for kind in (http.KIND, service.KIND):
        row = {"name": kind.name, "summary": kind.summary, "permission": kind.permission, "allowed": True}
        api.kinds.append({**row, "engines": list(kind.engines), "schema": dict(kind.schema)})
    api.kinds.append({**own, "name": "more", "schema": MORE, "engines": ["postgres"], "allowed": False})
    return api.kinds


def sent(api: FakeApi) -> dict[str, Any]:
    return next(reversed(api.jobs.values())).body


def test_a_task_is_submitted_and_followed(cli: Callable[..., Any], api: FakeApi, kinds: Any) -> None:
    api.act = lambda name, body: Act(stdout=b"nginx.service: active (running)\n")
    result = cli(
        "task", "run", "service", "-t", "web-1", "-p", "action=restart", "-p", "unit=nginx", "-p", "wait_seconds=2"
    )
    assert (result.status, result.out) == (0, "nginx.service: active (running)\n")
    assert sent(api) == {
        "target": "web-1",
        "kind": "service",
        "params": {"action": "restart", "unit": "nginx", "wait_seconds": 2},
    }


def test_every_option_arrives(cli: Callable[..., Any], api: FakeApi, kinds: Any) -> None:
    words = "task run more -t web-1 -p text=a --connection orders --dry-run --user app --name n --timeout 1h --concurrency 2"
    assert cli(*words.split(), "--offline", "skip", "--expires", "2h", "--retry", "3").status == 0
    assert sent(api) == {
        "target": "web-1",
        "kind": "more",
        "params": {"text": "a"},
        "connection": "orders",
        "dry_run": True,
        "user": "app",
        "name": "n",
        "timeout": 3600.0,
        "concurrency": 2,
        "offline": "skip",
        "expires": 7200.0,
        "retries": 3,
    }


def test_a_preview_says_whom_and_submits_nothing(cli: Callable[..., Any], api: FakeApi, kinds: Any) -> None:
    result = cli("task", "run", "more", "-t", "web-*", "-p", "text=a", "--preview")
    assert "would run on 3 nodes" in result.out
    assert not api.jobs


def test_detach_prints_the_job(cli: Callable[..., Any], api: FakeApi, kinds: Any) -> None:
    result = cli("task", "run", "more", "-t", "web-1", "-p", "text=a", "--detach", "-q")
    assert result.out.strip() in api.jobs


def test_what_fails_on_a_node_is_our_exit_status(cli: Callable[..., Any], api: FakeApi, kinds: Any) -> None:
    api.act = lambda name, body: Act(exit_code=1, state="failed", stderr=b"cannot restart\n")
    assert cli("task", "run", "service", "-t", "web-1", "-p", "action=start", "-p", "unit=x").status == 1


@pytest.mark.parametrize(("name", "text"), [("p.json", '{"text": "a", "count": 1}'), ("p.yaml", "text: a\ncount: 1\n")])
def test_a_file_of_params_and_what_goes_over_it(
    name: str, text: str, cli: Callable[..., Any], api: FakeApi, kinds: Any, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    assert cli("task", "run", "more", "-t", "web-1", "--params-file", name, "-p", "count=7").status == 0
    assert sent(api)["params"] == {"text": "a", "count": 7}


@pytest.mark.parametrize(
    ("words", "params"),
    [
        (["text=7", "count=7"], {"text": "7", "count": 7}),
        (["text=", "on=true"], {"text": "", "on": True}),
        (["text=a=b"], {"text": "a=b"}),
        (["text=@@home"], {"text": "@home"}),
        (["list=a", "list=7"], {"list": ["a", "7"]}),
        (['list=["a","b"]'], {"list": ["a", "b"]}),
        (["codes=200", "codes=2xx"], {"codes": [200, "2xx"]}),
        (["any=1"], {"any": 1}),
        (["any=word"], {"any": "word"}),
        (['any={"a": [1]}'], {"any": {"a": [1]}}),
        (["inner.verify=false", "inner.names=[1]"], {"inner": {"verify": False, "names": [1]}}),
        (["headers.X-One=1", "headers.A.b=c"], {"headers": {"X-One": "1", "A.b": "c"}}),
        (['filter={"a": {"$gt": 1}}'], {"filter": {"a": {"$gt": 1}}}),
        (["count={{ secret.N }}"], {"count": "{{ secret.N }}"}),
    ],
)
def test_a_value_is_read_as_the_schema_says(words: list[str], params: dict[str, Any]) -> None:
    assert from_words(words, MORE) == params


def test_a_value_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("7\n")
    (tmp_path / "f.yaml").write_text("a: {b: 2026-01-01}\n")
    (tmp_path / "bin").write_bytes(b"\xff")
    assert from_words([f"text=@{tmp_path}/q.txt", f"filter=@{tmp_path}/f.yaml"], MORE) == {
        "text": "7\n",
        "filter": {"a": {"b": "2026-01-01"}},
    }
    with pytest.raises(Invalid, match="no text in UTF-8"):
        from_words([f"text=@{tmp_path}/bin"], MORE)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("text", "expected NAME=VALUE"),
        ("=a", "expected NAME=VALUE"),
        ("count=many", "expected integer"),
        ("nothing=1", "there is no such param"),
        ("count.a=1", "there is no such param"),
        ("text=@/nowhere", "cannot read '/nowhere'"),
        ("inner=text", "expected object"),
    ],
)
def test_a_word_that_cannot_be_meant_says_why(word: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        from_words([word], MORE)


def test_a_kind_that_is_not_there_or_has_a_verb_of_its_own(cli: Callable[..., Any], api: FakeApi, kinds: Any) -> None:
    result = cli("task", "run", "teleport", "-t", "all")
    assert result.status == 3
    assert "one of http, more, service" in result.err
    assert "corral exec run" in cli("task", "run", "exec", "-t", "all").err
    assert not api.jobs


def test_kinds_are_listed_with_who_may(cli: Callable[..., Any], kinds: Any) -> None:
    out = cli("task", "kinds").out
    assert out.splitlines()[0].split() == ["KIND", "ALLOWED", "CONNECTION", "WHAT"]
    assert ["more", "no", "postgres", "s"] in [line.split() for line in out.splitlines()]
    assert cli("task", "kinds", "-o", "name").out.split() == ["exec", "file", "http", "more", "service"]
    assert {row["name"] for row in json.loads(cli("task", "kinds", "-o", "json").out)} >= {"http", "more"}


def test_a_schema_is_shown_for_people_and_printed_for_machines(cli: Callable[..., Any], kinds: Any) -> None:
    out = cli("task", "schema", "more").out
    assert "needs a connection: postgres" in out
    lines = [line.split() for line in out.splitlines()]
    assert ["text", "string", "required", "some", "words"] in lines
    assert ["count", "integer", "1..67108864", "3", "-"] in lines
    assert ["inner.verify", "boolean", "-", "-"] in lines
    assert ["list", "list", "of", "string", "-", "-"] in lines
    assert json.loads(cli("task", "schema", "more", "-o", "json").out) == MORE


def test_http_is_a_task_of_its_kind(cli: Callable[..., Any], api: FakeApi) -> None:
    words = ["http", "post", "https://app.example/x", "-t", "web-1", "-H", "X-A: b:c", "--json", '{"a": 1}']
    words += ["--expect", "200,4xx", "--assert", '$.a["b c"] == "up"', "--assert", "!$.error", "--follow", "2"]
    assert cli(*words, "--max-time", "5", "--insecure", "--tls-ca", "/ca.pem", "--save-body", "--dry-run").status == 0
    assert sent(api) == {
        "target": "web-1",
        "kind": "http",
        "dry_run": True,
        "params": {
            "method": "POST",
            "url": "https://app.example/x",
            "headers": {"X-A": "b:c"},
            "json": {"a": 1},
            "expect_status": ["200", "4xx"],
            "assertions": [{"path": '$.a["b c"]', "equals": "up"}, {"path": "$.error", "exists": False}],
            "follow_redirects": 2,
            "timeout_seconds": 5.0,
            "tls": {"verify": False, "ca_file": "/ca.pem"},
            "save_body": True,
        },
    }


def test_http_without_a_method_reads_or_sends_what_it_was_given(
    cli: Callable[..., Any], api: FakeApi, tmp_path: Path
) -> None:
    cli("http", "https://app.example/", "-t", "web-1")
    assert sent(api)["params"] == {"method": "GET", "url": "https://app.example/"}
    (tmp_path / "body").write_text("hello")
    cli("http", "https://app.example/", "-t", "web-1", "--body", "@body")
    assert sent(api)["params"] == {"method": "POST", "url": "https://app.example/", "body": "hello"}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("$.a == 1", {"path": "$.a", "equals": 1}),
        ("$.a==word", {"path": "$.a", "equals": "word"}),
        ('$.a == "1"', {"path": "$.a", "equals": "1"}),
        ("$.a =~ ^x.*y$", {"path": "$.a", "matches": "^x.*y$"}),
        ("$.a =~ 5", {"path": "$.a", "matches": "5"}),
        ("$.b[0] >= 2.5", {"path": "$.b[0]", "at_least": 2.5}),
        ("$.b <= 2", {"path": "$.b", "at_most": 2}),
        ("$.c contains e f", {"path": "$.c", "contains": "e f"}),
        ("$['=='].d == null", {"path": "$['=='].d", "equals": None}),
        ("$.f", {"path": "$.f", "exists": True}),
        ("! $.f", {"path": "$.f", "exists": False}),
    ],
)
def test_an_assertion_is_read(text: str, meant: dict[str, Any]) -> None:
    assert assertion(text) == meant


@pytest.mark.parametrize("text", ["", "a == 1", "$.a =", "$.a == ", "!$.a == 1", "$.a != 1", "$..a"])
def test_what_is_no_assertion_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="cannot read assertion"):
        assertion(text)


@pytest.mark.parametrize(
    "words", [("a", "b", "c"), ("https://a.example/", "-H", "nocolon"), ("https://a.example/", "--json", "{")]
)
def test_words_of_http_that_cannot_be_meant_are_a_usage_error(
    words: tuple[str, ...], cli: Callable[..., Any], api: FakeApi
) -> None:
    result = cli("http", *words, "-t", "web-1")
    assert (result.status, api.jobs) == (2, {})
    assert result.err.startswith("error: cannot ")
