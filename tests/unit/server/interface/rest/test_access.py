"""Logging in: one-time links, sessions in cookies, refresh rotation, CSRF, lock-out; and that secrets stay secret."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

API = "/api/v1"


async def code(stand: Any) -> str:
    answer = await stand.client.post(f"{API}/login-codes", json={}, headers=stand.bearer())
    assert answer.status_code == 201
    return str(answer.json()["data"]["code"])


async def test_a_login_link_works_once_sets_strict_cookies_and_goes_to_the_first_page(stand: Any) -> None:
    link = f"/login?code={await code(stand)}"
    answer = await stand.client.get(link)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookies = answer.headers.get_list("set-cookie")
    assert len(cookies) == 2
    assert all("HttpOnly" in cookie and "SameSite=strict" in cookie for cookie in cookies)
    assert (await stand.client.get(f"{API}/whoami")).json()["data"]["kind"] == "session"
    stand.client.cookies.clear()
    again = await stand.client.get(link)
    assert again.status_code == 401
    assert "text/html" in again.headers["content-type"]
    assert "set-cookie" not in again.headers


async def test_a_used_login_link_is_recorded_with_the_name_and_the_bare_page_is_not(stand: Any) -> None:
    await stand.client.get(f"/login?code={await code(stand)}")
    stand.client.cookies.clear()
    for _ in range(5):
        assert (await stand.client.get("/login")).status_code == 200
    await stand.client.get("/login?code=wrong")
    rows = [(entry.actor, entry.status) for entry in stand.db.audit if entry.action == "GET /login"]
    assert rows == [("admin", 303), ("", 401)]


async def test_cookies_are_secure_over_https(stand: Any) -> None:
    answer = await stand.client.get(f"https://corral.test/login?code={await code(stand)}")
    assert all("Secure" in cookie for cookie in answer.headers.get_list("set-cookie"))
    assert "strict-transport-security" in answer.headers


async def test_a_cookie_alone_changes_nothing_without_the_csrf_header(stand: Any) -> None:
    await stand.client.get(f"/login?code={await code(stand)}")
    body = {"name": "x"}
    assert (await stand.client.get(f"{API}/things/x")).status_code == 200
    for headers in ({}, {"X-Corral-CSRF": "wrong"}):
        assert (await stand.client.post(f"{API}/things", json=body, headers=headers)).status_code == 403
    csrf = (await stand.client.get(f"{API}/whoami")).json()["data"]["csrf"]
    answer = await stand.client.post(f"{API}/things", json=body, headers={"X-Corral-CSRF": csrf})
    assert answer.status_code == 201


async def test_a_session_makes_no_further_login_link(stand: Any) -> None:
    session = (await stand.client.post(f"{API}/login", json={"token": stand.admin})).json()["data"]
    headers = stand.bearer(session["access_token"])
    stand.client.cookies.clear()
    assert (await stand.client.post(f"{API}/login-codes", json={}, headers=headers)).status_code == 403


async def test_an_api_token_opens_a_session_with_its_own_permissions(stand: Any) -> None:
    limited = await stand.token("node.read")
    session = (await stand.client.post(f"{API}/login", json={"token": limited})).json()["data"]
    stand.client.cookies.clear()
    headers = stand.bearer(session["access_token"])
    assert (await stand.client.get(f"{API}/things/x", headers=headers)).status_code == 200
    assert (await stand.client.post(f"{API}/things", json={"name": "x"}, headers=headers)).status_code == 403


async def test_a_refresh_token_is_good_once_and_a_stolen_one_ends_the_session(stand: Any) -> None:
    first = (await stand.client.post(f"{API}/login", json={"token": stand.admin})).json()["data"]
    stand.client.cookies.clear()
    second = (await stand.client.post(f"{API}/refresh", json={"refresh_token": first["refresh_token"]})).json()["data"]
    stand.client.cookies.clear()
    raced = await stand.client.post(f"{API}/refresh", json={"refresh_token": first["refresh_token"]})
    assert raced.status_code == 409  # two tabs at once: nobody is thrown out
    third = (await stand.client.post(f"{API}/refresh", json={"refresh_token": second["refresh_token"]})).json()["data"]
    stand.client.cookies.clear()
    stolen = await stand.client.post(f"{API}/refresh", json={"refresh_token": first["refresh_token"]})
    assert stolen.status_code == 401
    for token in (first, second, third):
        over = await stand.client.post(f"{API}/refresh", json={"refresh_token": token["refresh_token"]})
        assert over.status_code == 401
        answer = await stand.client.get(f"{API}/things/x", headers=stand.bearer(token["access_token"]))
        assert answer.status_code == 401


async def test_a_late_reuse_of_the_last_refresh_token_ends_the_session(stand: Any) -> None:
    first = (await stand.client.post(f"{API}/login", json={"token": stand.admin})).json()["data"]
    await stand.client.post(f"{API}/refresh", json={"refresh_token": first["refresh_token"]})
    stand.client.cookies.clear()
    (row,) = stand.db.sessions.values()
    assert row.rotated_at is not None
    object.__setattr__(row, "rotated_at", row.rotated_at - timedelta(minutes=1))
    late = await stand.client.post(f"{API}/refresh", json={"refresh_token": first["refresh_token"]})
    assert late.status_code == 401
    assert next(iter(stand.db.sessions.values())).revoked


async def test_a_browser_refreshes_by_its_cookie(stand: Any) -> None:
    await stand.client.get(f"/login?code={await code(stand)}")
    before = stand.client.cookies["corral_session"]
    answer = await stand.client.post(f"{API}/refresh")
    assert answer.status_code == 200
    assert stand.client.cookies["corral_refresh"] == answer.json()["data"]["refresh_token"]
    assert before.startswith("eyJ")
    assert (await stand.client.get(f"{API}/whoami")).status_code == 200


async def test_revoking_the_api_token_ends_the_sessions_it_opened(stand: Any) -> None:
    limited = await stand.token("node.read")
    session = (await stand.client.post(f"{API}/login", json={"token": limited})).json()["data"]
    stand.client.cookies.clear()
    token = next(row for row in stand.db.api_tokens.values() if row.name == "limited")
    await stand.client.delete(f"{API}/api-tokens/{token.id}", headers=stand.bearer())
    answer = await stand.client.post(f"{API}/refresh", json={"refresh_token": session["refresh_token"]})
    assert answer.status_code == 401


async def test_logging_out_ends_the_session_at_once(stand: Any) -> None:
    session = (await stand.client.post(f"{API}/login", json={"token": stand.admin})).json()["data"]
    stand.client.cookies.clear()
    headers = stand.bearer(session["access_token"])
    answer = await stand.client.post(f"{API}/logout", headers=headers)
    assert answer.status_code == 200
    assert all("Max-Age=0" in cookie for cookie in answer.headers.get_list("set-cookie"))
    assert (await stand.client.get(f"{API}/whoami", headers=headers)).status_code == 401


@pytest.mark.parametrize("forged", ["crs_e30.e30", "crs_.", "crs_" + "A" * 3000, "crs_\u00e9.x"])
async def test_a_forged_session_is_refused(stand: Any, forged: str) -> None:
    answer = await stand.client.get(f"{API}/whoami", headers={"Authorization": b"Bearer " + forged.encode("latin-1")})
    assert answer.status_code == 401
    assert (await stand.client.post(f"{API}/refresh", json={"refresh_token": forged})).status_code == 401


async def test_an_access_token_is_no_refresh_token_and_the_other_way_round(stand: Any) -> None:
    session = (await stand.client.post(f"{API}/login", json={"token": stand.admin})).json()["data"]
    stand.client.cookies.clear()
    assert (
        await stand.client.post(f"{API}/refresh", json={"refresh_token": session["access_token"]})
    ).status_code == 401
    assert (await stand.client.get(f"{API}/whoami", headers=stand.bearer(session["refresh_token"]))).status_code == 401


async def test_failed_logins_lock_the_address_out_for_a_while(stand: Any) -> None:
    statuses = [(await stand.client.post(f"{API}/login", json={"code": f"wrong-{n}"})).status_code for n in range(6)]
    assert statuses == [401] * 5 + [429]
    locked = await stand.client.post(f"{API}/login", json={"code": await code(stand)})
    assert locked.status_code == 429
    assert "retry-after" in locked.headers
    assert (await stand.client.get(f"{API}/things/x", headers=stand.bearer())).status_code == 200


@pytest.mark.parametrize("body", [{}, {"code": "a", "token": "b"}])
async def test_a_login_needs_exactly_one_proof(stand: Any, body: dict[str, str]) -> None:
    assert (await stand.client.post(f"{API}/login", json=body)).status_code == 400


@pytest.mark.parametrize(
    ("body", "element"),
    [
        ({"name": ""}, "name"),
        ({"name": "x\n"}, "name"),
        ({"name": "x", "permissions": ["everything"]}, "permissions"),
        ({"name": "x", "permissions": []}, "permissions"),
        ({"name": "x", "ttl_seconds": 0}, "ttl_seconds"),
    ],
)
async def test_a_wrong_token_order_names_the_field(stand: Any, body: dict[str, Any], element: str) -> None:
    answer = await stand.client.post(f"{API}/api-tokens", json=body, headers=stand.bearer())
    assert (answer.status_code, answer.json()["element"]) == (400, element)


async def test_a_token_is_shown_once_and_only_its_hash_is_kept(stand: Any) -> None:
    made = (await stand.client.post(f"{API}/api-tokens", json={"name": "ci"}, headers=stand.bearer())).json()["data"]
    assert made["token"].startswith("crl_")
    listed = await stand.client.get(f"{API}/api-tokens", headers=stand.bearer())
    assert made["token"] not in listed.text
    assert {row["name"] for row in listed.json()["data"]} == {"admin", "ci"}
    assert made["token"] not in repr(stand.db.api_tokens)
    expired = stand.db.api_tokens[made["id"]]
    object.__setattr__(expired, "expires_at", stand.clock.now() - timedelta(seconds=1))
    assert (await stand.client.get(f"{API}/whoami", headers=stand.bearer(made["token"]))).status_code == 401


async def test_the_list_of_tokens_says_at_once_which_were_used(stand: Any) -> None:
    made = (await stand.client.post(f"{API}/api-tokens", json={"name": "ci"}, headers=stand.bearer())).json()["data"]

    async def last_used() -> str | None:
        rows = (await stand.client.get(f"{API}/api-tokens", headers=stand.bearer())).json()["data"]
        return next(row["last_used_at"] for row in rows if row["id"] == made["id"])

    assert await last_used() is None
    await stand.client.get(f"{API}/whoami", headers=stand.bearer(made["token"]))
    assert await last_used() is not None


async def test_no_secret_reaches_log_audit_or_store(stand: Any, caplog: pytest.LogCaptureFixture) -> None:
    link = await code(stand)
    with caplog.at_level(logging.DEBUG):
        keyed = {**stand.bearer(), "Idempotency-Key": "k1"}
        made = (await stand.client.post(f"{API}/api-tokens", json={"name": "ci"}, headers=keyed)).json()["data"]
        session = (await stand.client.post(f"{API}/login", json={"token": made["token"]})).json()["data"]
        stand.client.cookies.clear()
        await stand.client.get(f"/login?code={link}")
        stand.client.cookies.clear()
        await stand.client.get(f"{API}/whoami", headers=stand.bearer(made["token"] + "x"))
    secrets = [stand.admin, made["token"], session["access_token"], session["refresh_token"], link, session["csrf"]]
    seen = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records if record.name != "httpx2")
    kept = f"{stand.db.audit!r} {stand.db.answers!r} {stand.db.api_tokens!r} {stand.db.sessions!r}"
    for secret in secrets:
        assert secret not in kept
        assert secret not in seen
