"""What belongs to a user: sessions and API tokens, what ends them, and the ways in that a browser has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

API = "/api/v1"
PASSWORD = "correct horse battery"
OTHER = "another battery staple"


async def test_a_grant_counts_in_the_session_that_is_there_already(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD)
    ada = await stand.entered()
    assert await stand.status(ada, "/things/x") == 403
    await stand.bench.grant("ada", "viewer")
    assert await stand.status(ada, "/things/x") == 200


async def test_a_name_is_locked_after_five_failures_from_anywhere_and_its_session_goes_on(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="viewer")
    ada = await stand.entered()
    codes = [(await stand.login("ada", f"wrong password {number}")).status_code for number in range(6)]
    assert codes == [401] * 5 + [429]
    assert (await stand.login()).status_code == 429
    assert await stand.status(ada) == 200
    await stand.bench.user("bob", password=PASSWORD)
    assert (await stand.login("bob")).status_code == 200  # another name, the same office
    assert (await stand.login("nobody-here")).status_code == 401


async def test_disabling_a_user_ends_all_access_at_once_and_enabling_does_not_revive_it(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="viewer")
    session = (await stand.login()).json()["data"]
    ada = stand.bearer(session["access_token"])
    made = (await stand.call("POST", "/me/api-tokens", ada, {"name": "ci"})).json()["data"]
    token = stand.bearer(made["token"])
    assert await stand.status(token) == 200
    assert (await stand.call("PATCH", "/users/ada", stand.bearer(), {"disabled": True})).status_code == 200
    assert await stand.status(ada) == 401
    assert await stand.status(token) == 401
    assert (await stand.login()).status_code == 401
    refresh = {"refresh_token": session["refresh_token"]}
    assert (await stand.client.post(f"{API}/refresh", json=refresh)).status_code == 401
    await stand.call("PATCH", "/users/ada", stand.bearer(), {"disabled": False})
    assert await stand.status(ada) == 401
    assert (await stand.login()).status_code == 200


async def test_a_new_password_ends_every_other_session_and_the_old_one_is_needed(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="viewer")
    here, there = await stand.entered(), await stand.entered()
    wrong = await stand.call("POST", "/me/password", here, {"old": OTHER, "new": "something else entirely"})
    assert wrong.status_code == 401
    answer = await stand.call("POST", "/me/password", here, {"old": PASSWORD, "new": OTHER})
    assert answer.status_code == 200
    stand.client.cookies.clear()
    assert await stand.status(here) == 401
    assert await stand.status(there) == 401
    assert await stand.status(stand.bearer(answer.json()["data"]["access_token"])) == 200
    assert (await stand.login()).status_code == 401
    assert (await stand.login(password=OTHER)).status_code == 200


async def test_guessing_at_the_old_password_from_a_stolen_session_locks(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD)
    ada = await stand.entered()
    codes = []
    for number in range(7):
        body = {"old": f"wrong password {number}", "new": OTHER}
        codes.append((await stand.call("POST", "/me/password", ada, body)).status_code)
    assert codes == [401] * 5 + [429] * 2


async def test_a_token_of_ones_own_may_what_its_owner_may_now(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="viewer")
    ada = await stand.entered()
    whole = (await stand.call("POST", "/me/api-tokens", ada, {"name": "all of mine"})).json()["data"]
    narrow = {"name": "nodes", "permissions": ["node.read"]}
    narrow = (await stand.call("POST", "/me/api-tokens", ada, narrow)).json()["data"]
    too_much = {"name": "more", "permissions": ["user.write"]}
    assert (await stand.call("POST", "/me/api-tokens", ada, too_much)).status_code == 403
    who = (await stand.call("GET", "/whoami", stand.bearer(whole["token"]))).json()["data"]
    assert (who["name"], who["kind"], "exec.read" in who["permissions"]) == ("ada", "token", True)
    who = (await stand.call("GET", "/whoami", stand.bearer(narrow["token"]))).json()["data"]
    assert who["permissions"] == ["node.read"]
    for grant in (await stand.bench.book.book()).grants:
        await stand.bench.roles.drop_grant(grant.id, keep="")
    stand.bench.book.forget()
    assert await stand.status(stand.bearer(whole["token"]), "/things/x") == 403
    assert await stand.status(stand.bearer(narrow["token"]), "/things/x") == 403


async def test_a_token_makes_no_tokens_ends_no_sessions_and_sets_no_password_of_its_owner(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="admin")
    ada = await stand.entered()
    made = (await stand.call("POST", "/me/api-tokens", ada, {"name": "ci"})).json()["data"]
    token = stand.bearer(made["token"])
    (session,) = (await stand.call("GET", "/me/sessions", ada)).json()["data"]
    for method, path, body in (
        ("POST", "/me/api-tokens", {"name": "more"}),
        ("DELETE", f"/me/api-tokens/{made['id']}", None),
        ("DELETE", f"/me/sessions/{session['id']}", None),
        ("POST", "/me/password", {"old": PASSWORD, "new": OTHER}),
    ):
        assert (await stand.call(method, path, token, body)).status_code == 403, path
    assert await stand.status(ada) == 200


async def test_what_belongs_to_nobody_is_nobodys_own(stand: Any) -> None:
    limited = stand.bearer(await stand.token("node.read"))
    assert (await stand.call("GET", "/me/api-tokens", limited)).json()["data"] == []
    assert (await stand.call("DELETE", f"/me/api-tokens/{stand.admin_id}", limited)).status_code == 403
    assert await stand.status(stand.bearer()) == 200


async def test_a_token_an_admin_makes_is_theirs_and_dies_with_them(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="admin")
    await stand.bench.user("bob", password=PASSWORD, role="admin")
    ada = await stand.entered()
    made = (await stand.call("POST", "/api-tokens", ada, {"name": "ci"})).json()["data"]
    user = await stand.bench.users.by_name("ada")
    assert made["owner"] == user.id
    session = (await stand.client.post(f"{API}/login", json={"token": made["token"]})).json()["data"]
    stand.client.cookies.clear()
    opened = stand.bearer(session["access_token"])
    assert await stand.status(opened) == 200
    await stand.call("DELETE", "/users/ada", stand.bearer())
    assert await stand.status(stand.bearer(made["token"])) == 401
    assert await stand.status(opened) == 401


async def test_sessions_are_seen_and_ended_own_by_everybody_and_all_by_who_manages_people(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="viewer")
    await stand.bench.user("bob", password=PASSWORD, role="viewer")
    ada, ada_too, bob = await stand.entered(), await stand.entered(), await stand.entered("bob")
    mine = (await stand.call("GET", "/me/sessions", ada)).json()["data"]
    assert [row["current"] for row in mine].count(True) == 1
    assert {(row["name"], row["method"], row["address"]) for row in mine} == {("ada", "password", "192.0.2.7")}
    other = next(row["id"] for row in mine if not row["current"])
    assert (await stand.call("DELETE", f"/me/sessions/{other}", bob)).status_code == 404
    assert (await stand.call("DELETE", f"/me/sessions/{other}", ada)).status_code == 200
    assert [await stand.status(who) for who in (ada, ada_too, bob)] == [200, 401, 200]
    assert (await stand.call("GET", "/sessions", ada)).status_code == 403
    of_bob = (await stand.call("GET", "/sessions?user=bob", stand.bearer())).json()["data"]
    assert [row["name"] for row in of_bob] == ["bob"]
    assert (await stand.call("DELETE", f"/sessions/{of_bob[0]['id']}", stand.bearer())).status_code == 200
    assert await stand.status(bob) == 401


async def test_another_server_hears_of_the_end_within_a_second(stand: Any) -> None:
    """What the other server changed, this one reads again when its memory of it is a second old."""
    await stand.bench.user("ada", password=PASSWORD, role="viewer")
    ada = await stand.entered()
    assert await stand.status(ada) == 200
    (session,) = stand.db.sessions.values()
    stand.db.sessions[session.id] = replace(session, revoked=True)
    for known in (stand.bench.sessions._lasting, stand.bench.guard.standing._by_id):
        assert known._seconds <= 1.0
        known._known = {key: (until - 1.0, found) for key, (until, found) in known._known.items()}
    assert await stand.status(ada) == 401


async def test_a_cookie_session_of_a_user_needs_the_csrf_value_for_writes(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="admin")
    answer = await stand.client.post(f"{API}/login", json={"name": "ada", "password": PASSWORD})
    csrf = answer.json()["data"]["csrf"]
    body = {"name": "x"}
    assert (await stand.client.post(f"{API}/things", json=body)).status_code == 403
    wrong = {b"X-Corral-CSRF": "é".encode("latin-1")}
    assert (await stand.client.post(f"{API}/things", json=body, headers=wrong)).status_code == 403
    assert (await stand.client.post(f"{API}/things", json=body, headers={"X-Corral-CSRF": csrf})).status_code == 201


async def test_a_login_page_learns_how_one_can_log_in(stand: Any) -> None:
    answer = await stand.client.get(f"{API}/login")
    assert answer.json()["data"] == {"password": True, "oidc": None}
    assert (await stand.client.get("/auth/oidc/start")).status_code == 404
    back = await stand.client.get("/auth/oidc/callback?state=x&code=y")
    assert (back.status_code, "text/html" in back.headers["content-type"]) == (401, True)


@pytest.mark.parametrize("query", ["port=1", "challenge=x", "port=99999&challenge=" + "x" * 43, "port=-1&challenge=x"])
async def test_a_browser_login_for_a_terminal_needs_a_port_and_a_challenge(stand: Any, query: str) -> None:
    assert (await stand.client.get(f"/auth/oidc/start?{query}")).status_code == 400


@pytest.mark.parametrize("kept", ["", "x", "e30", "A" * 5000, "\u00e9"])
async def test_a_forged_state_cookie_begins_nothing(stand: Any, kept: str) -> None:
    headers = {"Cookie": f"corral_oidc={kept}".encode("latin-1")}
    back = await stand.client.get("/auth/oidc/callback?state=x&code=<script>alert(1)</script>", headers=headers)
    assert back.status_code == 401
    assert "<script>" not in back.text
