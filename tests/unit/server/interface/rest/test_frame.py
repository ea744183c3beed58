"""The frame: identity before everything, then permission, limits, the handler, one error form, the record."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from corral.server.interface.rest.limits import Limits

API = "/api/v1"


async def test_an_answer_is_an_envelope_with_security_headers_and_a_request_id(stand: Any) -> None:
    answer = await stand.client.get(f"{API}/things/x?limit=9", headers={**stand.bearer(), "X-Request-Id": "abc-1"})
    body = answer.json()
    assert answer.status_code == 200
    assert (body["code"], body["message"], body["data"]["name"], body["data"]["by"]) == (0, "ok", "9", "admin")
    assert body["timestamp"].endswith("Z")
    assert answer.headers["x-request-id"] == "abc-1"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"{API}/things/x", None),
        ("GET", f"{API}/nowhere", None),
        ("GET", API, None),
        ("PUT", f"{API}/things/x", b"{}"),
        ("POST", f"{API}/things", b"{nonsense"),
        ("POST", f"{API}/things", b"[" * 100_000),
        ("OPTIONS", f"{API}/things/x", None),
        ("GET", f"{API}/things/x?limit=nonsense", None),
        ("GET", f"/{API}/things/x", None),
        ("GET", "/api//v1/things/x", None),
        ("GET", f"{API}/things/x/", None),
        ("GET", f"{API}/refresh", None),
    ],
)
async def test_without_a_credential_everything_under_the_api_is_401(
    stand: Any, method: str, path: str, body: bytes | None
) -> None:
    answer = await stand.client.request(method, f"http://corral.test{path}", content=body)
    assert answer.status_code == 401
    assert answer.json()["code"] == 1003
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "authorization",
    ["Bearer crl_wrong", "Bearer ", "Bearer crs_a.b", "Basic YWRtaW46YWRtaW4=", "crl_x", "Bearer crl_" + "x" * 9000],
)
async def test_a_wrong_credential_is_401(stand: Any, authorization: str) -> None:
    answer = await stand.client.get(f"{API}/things/x", headers={"Authorization": authorization})
    assert answer.status_code == 401


async def test_a_revoked_token_stops_working_at_once(stand: Any) -> None:
    secret = await stand.token("node.read")
    assert (await stand.client.get(f"{API}/things/x", headers=stand.bearer(secret))).status_code == 200
    token = next(row for row in stand.db.api_tokens.values() if row.name == "limited")
    gone = await stand.client.delete(f"{API}/api-tokens/{token.id}", headers=stand.bearer())
    assert gone.status_code == 200
    assert (await stand.client.get(f"{API}/things/x", headers=stand.bearer(secret))).status_code == 401


async def test_a_missing_permission_is_403_before_the_body_is_read(stand: Any) -> None:
    secret = await stand.token("node.read")
    answer = await stand.client.post(f"{API}/things", content=b"{nonsense", headers=stand.bearer(secret))
    assert answer.status_code == 403
    assert answer.json()["element"] == "node.write"
    assert stand.things.made == []


async def test_nobody_grants_more_than_they_have(stand: Any) -> None:
    secret = await stand.token("access.write")
    answer = await stand.client.post(f"{API}/api-tokens", json={"name": "big"}, headers=stand.bearer(secret))
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("thing", "status", "code"),
    [("bug", 500, 5000), ("down", 503, 5001), ("selector", 400, 1002)],
)
async def test_every_error_is_one_problem(
    stand: Any, thing: str, status: int, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await stand.client.get(f"{API}/things/{thing}", headers={**stand.bearer(), "X-Request-Id": "rid"})
    body = answer.json()
    assert (answer.status_code, body["code"], body["request_id"], body["data"]) == (status, code, "rid", None)
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    if thing == "bug":
        assert [record.request_id for record in caplog.records if hasattr(record, "request_id")] == ["rid"]
    if thing == "selector":
        assert body["details"] == {"text": "a and", "column": 6}
    if thing == "down":
        assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("content", "element", "words"),
    [
        (b'{"name": 3}', "name", "expected `str`"),
        (b'{"count": 3}', "name", "missing required field"),
        (b'{"name": "x", "extra": 1}', "extra", "unknown field"),
        (b'{"name": "x", "labels": {"a": 1}}', "labels", "expected `str`"),
        (b"{nonsense", "body", "malformed"),
        (b"[1]", "body", "expected `object`"),
        (b'"text"', "body", "expected `object`"),
        (b"\xff\xfe", "body", "JSON"),
        (b'{"name": "\xff"}', "body", "JSON"),
        (b"", "body", "body"),
        (b'{"name": ' + b"[" * 70 + b"]" * 70 + b"}", "body", "64"),
        (b"[" * 10_000, "body", "64"),
    ],
)
async def test_a_wrong_body_is_400_and_names_the_field(stand: Any, content: bytes, element: str, words: str) -> None:
    headers = {**stand.bearer(), "Content-Type": "application/json"}
    answer = await stand.client.post(f"{API}/things", content=content, headers=headers)
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert body["code"] == 1001
    assert body["element"].startswith(element), body
    assert words.lower() in body["message"].lower(), body


async def test_a_wrong_query_is_400_and_names_the_parameter(stand: Any) -> None:
    answer = await stand.client.get(f"{API}/things/x?limit=many", headers=stand.bearer())
    assert (answer.status_code, answer.json()["element"]) == (400, "limit")


async def test_an_unknown_path_is_404_and_a_wrong_method_405(stand: Any) -> None:
    assert (await stand.client.get(f"{API}/nowhere", headers=stand.bearer())).status_code == 404
    assert (await stand.client.get("/nowhere")).status_code == 404
    wrong = await stand.client.put(f"{API}/things/x", json={}, headers=stand.bearer())
    assert (wrong.status_code, wrong.json()["code"]) == (405, 1001)


async def test_another_content_type_is_refused(stand: Any) -> None:
    headers = {**stand.bearer(), "Content-Type": "text/xml"}
    assert (await stand.client.post(f"{API}/things", content=b"<x/>", headers=headers)).status_code == 400


async def test_a_body_beyond_the_cap_is_413_with_and_without_a_length(stand: Any) -> None:
    async def chunks() -> Any:
        for _ in range(200):
            yield b" " * 1000

    for content in (b"x" * 100_001, chunks()):
        headers = {**stand.bearer(), "Content-Type": "application/json"}
        answer = await stand.client.post(f"{API}/things", content=content, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, 1007)


async def test_a_query_beyond_the_cap_is_413(stand: Any) -> None:
    answer = await stand.client.get(f"{API}/things/x?a={'x' * 20_000}", headers=stand.bearer())
    assert answer.status_code == 413


class TestRateCap:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(requests_per_second=2)

    async def test_a_caller_beyond_its_share_gets_429_and_others_do_not(self, stand: Any) -> None:
        statuses = [(await stand.client.get(f"{API}/things/x", headers=stand.bearer())).status_code for _ in range(8)]
        assert statuses[:4] == [200] * 4
        assert 429 in statuses
        other = await stand.token("node.read")
        assert (await stand.client.get(f"{API}/things/x", headers=stand.bearer(other))).status_code == 200


async def test_events_come_as_a_stream_and_the_generator_is_closed(stand: Any) -> None:
    answer = await stand.client.get(f"{API}/things/events", headers=stand.bearer())
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text == 'event: snapshot\nid: 7\ndata: {"things":[]}\n\nevent: end\ndata: {}\n\n'
    assert stand.things.closed == 1


async def test_readiness_names_the_part_that_does_not_work(stand: Any) -> None:
    assert (await stand.client.get("/readyz")).json() == {"status": "ready", "parts": {"sql": True, "engine": True}}
    stand.things.engine_works = False
    answer = await stand.client.get("/readyz")
    assert (answer.status_code, answer.json()["parts"]) == (503, {"sql": True, "engine": False})
    assert (await stand.client.get("/healthz")).status_code == 200
    system = (await stand.client.get(f"{API}/system", headers=stand.bearer())).json()["data"]
    assert system["engine"] == {"ok": False, "error": "cannot reach the engine"}
    assert system["ready"] is False


async def test_metrics_need_a_token_from_another_machine(stand: Any) -> None:
    await stand.client.get(f"{API}/things/x", headers=stand.bearer())
    assert (await stand.client.get("/metrics")).status_code == 401
    assert (await stand.client.get("/metrics", headers=stand.bearer(await stand.token("node.read")))).status_code == 403
    text = (await stand.client.get("/metrics", headers=stand.bearer())).text
    assert 'corral_http_requests_total{method="GET",route="/things/{thing}",status="200"} 1.0' in text


async def test_dead_letters_are_shown_as_text(stand: Any) -> None:
    (letter,) = (await stand.client.get(f"{API}/dead-letters", headers=stand.bearer())).json()["data"]
    assert (letter["node"], letter["reason"], letter["body"], letter["body_bytes"]) == (
        "web-1",
        "no JSON",
        "\ufffd{",
        2,
    )
