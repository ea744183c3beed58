"""The http executor as the worker starts it: one document in, words and an outcome out."""

import json

import pytest

from corral.agent.executors.http import check
from corral.domain.errors import Invalid
from corral.domain.executors import http as kind
from corral.domain.schema import check as check_params
from corral.domain.schema import check_schema, with_defaults

HERE = {"CORRAL_HTTP_ALLOW": "127.0.0.1/32"}


def test_the_schema_is_one_the_checker_holds(child):
    check_schema(kind.SCHEMA)
    done = child("http", {}, words=["--schema"])
    assert (done.code, json.loads(done.out)) == (0, dict(kind.SCHEMA))


def test_a_request_says_status_body_and_outcome(child, web_server):
    web_server.json({"status": "up", "queue": {"depth": [3]}})
    params = {
        "url": web_server.url("/health"),
        "query": {"verbose": True, "q": "a b"},
        "assertions": [{"path": "$.status", "equals": "up"}, {"path": "$.queue.depth[0]", "at_most": 3}],
        "save_body": True,
    }
    done = child("http", params, env=HERE)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[0] == "200 OK"
    assert done.result["status"] == 200
    assert json.loads(done.result["body"]) == {"status": "up", "queue": {"depth": [3]}}
    assert done.result["failures"] == []
    assert web_server.seen[0].path == "/health?verbose=true&q=a+b"


def test_an_answer_that_is_not_as_expected_fails_and_says_everything_that_is_wrong(child, web_server):
    web_server.json({"status": "down"}, status=503)
    params = {
        "url": web_server.url(),
        "assertions": [{"path": "$.status", "equals": "up"}, {"path": "$.x", "exists": True}],
    }
    done = child("http", params, env=HERE)
    assert done.code == 1
    assert 'status 503, expected 200-299; $.status is "down", expected "up"; there is no $.x' in done.err
    assert done.result["status"] == 503
    assert len(done.result["failures"]) == 3


def test_json_goes_out_as_json(child, web_server):
    done = child(
        "http", {"url": web_server.url(), "method": "POST", "json": {"a": [1]}, "headers": {"X-A": "é"}}, env=HERE
    )
    assert done.code == 0
    assert (web_server.seen[0].body, web_server.seen[0].headers["Content-Type"]) == (b'{"a": [1]}', "application/json")


def test_without_the_nodes_own_leave_loopback_is_refused_as_bad_params(child, web_server):
    done = child("http", {"url": web_server.url()}, env={"CORRAL_HTTP_ALLOW": ""})
    assert done.code == 2
    assert "is the node itself" in done.err
    assert "hint: agent.http_allow" in done.err
    assert web_server.seen == []


def test_a_task_narrows_what_the_node_allows(child, web_server):
    done = child("http", {"url": web_server.url(), "networks": {"only": ["10.0.0.0/8"]}}, env=HERE)
    assert (done.code, web_server.seen) == (2, [])
    assert "outside the networks of this task" in done.err


def test_a_dry_run_judges_and_sends_nothing(child, web_server):
    done = child("http", {"url": web_server.url("/x?secret=1"), "method": "DELETE"}, dry_run=True, env=HERE)
    assert (done.code, web_server.seen) == (0, [])
    assert done.out == f"would send DELETE {web_server.url('/x')} to 127.0.0.1 port {web_server.port}\n"


def test_a_body_that_is_no_text_is_kept_whole_in_the_outcome(child, web_server):
    web_server.answer = lambda *request: (200, {}, bytes(range(256)) * 200)
    done = child("http", {"url": web_server.url(), "save_body": True}, env=HERE)
    assert "(51200 bytes, not text)" in done.out
    assert done.result["body_whole"] is False
    assert len(done.result["body_base64"]) == 36 * 1024 * 4 // 3


@pytest.mark.parametrize(
    ("assertion", "wrong"),
    [
        ({"path": "$.n", "equals": 1}, ""),
        ({"path": "$.n", "equals": True}, "$.n is 1, expected true"),
        ({"path": "$.t", "contains": "ell"}, ""),
        ({"path": "$.l", "contains": 2}, ""),
        ({"path": "$.l", "contains": 9}, "$.l is [1, 2], expected something with 9"),
        ({"path": "$.o", "contains": "k"}, ""),
        ({"path": "$.n", "contains": "1"}, '$.n is 1, expected something with "1"'),
        ({"path": "$.t", "matches": "^h.*o$"}, ""),
        ({"path": "$.n", "matches": "1"}, '$.n is 1, expected a text that matches "1"'),
        ({"path": "$.n", "at_least": 1, "at_most": 1}, ""),
        ({"path": "$.t", "at_least": 1}, '$.t is "hello", expected at least 1'),
        ({"path": "$.x", "exists": False}, ""),
        ({"path": "$.n", "exists": False}, "$.n exists"),
        ({"path": "$.z", "exists": True}, ""),
        ({"path": "$.x", "equals": None}, "there is no $.x"),
    ],
)
def test_an_assertion_holds_or_says_why_not(assertion, wrong):
    assert check(assertion, {"n": 1, "t": "hello", "l": [1, 2], "o": {"k": 1}, "z": None}) == wrong


@pytest.mark.parametrize(
    ("params", "element"),
    [
        ({"url": "ftp://app.example/"}, "params.url"),
        ({"url": "http://127.1/"}, "params.url"),
        ({"url": "http://a.example/", "method": "POST", "json": 1, "body": "x"}, "params.json"),
        ({"url": "http://a.example/", "body": "x"}, "params.method"),
        ({"url": "http://a.example/", "headers": {"Content-Length": "5"}}, "params.headers.Content-Length"),
        ({"url": "http://a.example/", "headers": {"transfer-encoding": "chunked"}}, "params.headers.transfer-encoding"),
        ({"url": "http://a.example/", "headers": {"X": "a\r\nHost: b"}}, "params.headers.X"),
        ({"url": "http://a.example/", "headers": {"X Y": "a"}}, "params.headers"),
        ({"url": "http://a.example/", "assertions": [{"path": "$.a"}]}, "params.assertions[0]"),
        ({"url": "http://a.example/", "assertions": [{"path": "a", "exists": True}]}, "params.assertions[0].path"),
        ({"url": "http://a.example/", "assertions": [{"path": "$", "matches": "("}]}, "params.assertions[0].matches"),
        ({"url": "http://a.example/", "networks": {"only": ["nope"]}}, "params.networks.only"),
        ({"url": "http://a.example/", "expect_status": ["900"]}, "params.expect_status[0]"),
        ({"url": "http://a.example/", "tls": {"verify_everything": True}}, "params.tls.verify_everything"),
    ],
)
def test_params_that_cannot_be_meant_name_their_field(params, element):
    with pytest.raises(Invalid) as refused:
        check_params(kind.SCHEMA, params)
        kind.more(with_defaults(kind.SCHEMA, params))
    assert refused.value.element == element


def test_a_url_with_a_secret_in_it_is_judged_on_the_node():
    kind.more({"url": "https://{{ secret.HOST }}/x"})
    assert kind.KIND.line({"url": "https://a.example/x?token=1"}) == "GET https://a.example/x"


def test_only_what_writes_changes_anything():
    assert not kind.KIND.changes({"url": "http://a.example/"})
    assert kind.KIND.changes({"url": "http://a.example/", "method": "POST"})


@pytest.mark.parametrize(
    ("expected", "status", "accepted"),
    [
        ([200], 200, True),
        ([200], 201, False),
        (["2xx"], 299, True),
        (["200-204", 404], 404, True),
        (["200-204"], 205, False),
    ],
)
def test_a_status_is_expected_by_code_range_or_class(expected, status, accepted):
    assert kind.accepts(expected, status) is accepted
