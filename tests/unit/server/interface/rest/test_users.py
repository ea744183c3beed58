"""People: logging in with a password, what ends access, who may do what to whom, and tokens that never outlive their owner's rights."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

API = "/api/v1"
PASSWORD = "correct horse battery"
OTHER = "another battery staple"


async def login(stand: Any, name: str = "ada", password: str = PASSWORD) -> Any:
    answer = await stand.client.post(f"{API}/login", json={"name": name, "password": password})
    stand.client.cookies.clear()
    return answer


async def entered(stand: Any, name: str = "ada", password: str = PASSWORD) -> dict[str, str]:
    """The headers of somebody who has logged in."""
    answer = await login(stand, name, password)
    assert answer.status_code == 200, answer.text
    return dict(stand.bearer(answer.json()["data"]["access_token"]))


async def call(stand: Any, method: str, path: str, headers: dict[str, str], body: Any = None) -> Any:
    return await stand.client.request(method, f"{API}{path}", headers=headers, json=body)


async def status(stand: Any, headers: dict[str, str], path: str = "/whoami") -> int:
    return int((await call(stand, "GET", path, headers)).status_code)


async def test_a_user_logs_in_with_the_password_and_has_what_the_grants_say(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="operator", selector='labels["env"] == "dev"')
    answer = await login(stand, " Ada ")
    assert all("SameSite=strict" in c and "HttpOnly" in c for c in answer.headers.get_list("set-cookie"))
    who = (await call(stand, "GET", "/whoami", stand.bearer(answer.json()["data"]["access_token"]))).json()["data"]
    assert (who["name"], who["kind"], who["method"], who["must_change"]) == ("ada", "user", "password", False)
    (grant,) = who["grants"]
    assert (grant["role"], grant["selector"]) == ("operator", 'labels["env"] == "dev"')
    assert "exec.run" in who["permissions"]
    assert "user.write" not in who["permissions"]


async def test_a_grant_counts_in_the_session_that_is_there_already(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD)
    ada = await entered(stand)
    assert await status(stand, ada, "/things/x") == 403
    await stand.bench.grant("ada", "viewer")
    assert await status(stand, ada, "/things/x") == 200


async def test_wrong_name_wrong_password_disabled_and_no_password_get_the_same_answer(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD)
    await stand.bench.user("invited")
    off = await stand.bench.user("off", password=PASSWORD)
    await stand.bench.users.change(off.id, lambda have: replace(have, disabled=True))
    answers = [
        await login(stand, "ada", OTHER),
        await login(stand, "nobody-here", PASSWORD),
        await login(stand, "invited", PASSWORD),
        await login(stand, "off", PASSWORD),
        await login(stand, "no such name!", PASSWORD),
        await login(stand, "ada\0", PASSWORD),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({(answer.json()["message"], answer.json()["hint"]) for answer in answers}) == 1


async def test_an_unknown_name_costs_the_same_hashing(stand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await stand.bench.user("ada", password=PASSWORD)
    await login(stand)
    hasher, seen = stand.bench.guard.hasher, []
    real = hasher._matches
    monkeypatch.setattr(hasher, "_matches", lambda known, password: seen.append(known) or real(known, password))
    await login(stand, "ada", OTHER)
    await login(stand, "nobody-here", OTHER)
    assert len(seen) == 2
    assert seen[0].rsplit("$", 2)[0] == seen[1].rsplit("$", 2)[0]  # the same algorithm and parameters


async def test_a_name_is_locked_after_five_failures_from_anywhere_and_its_session_goes_on(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="viewer")
    ada = await entered(stand)
    codes = [(await login(stand, "ada", f"wrong password {number}")).status_code for number in range(6)]
    assert codes == [401] * 5 + [429]
    assert (await login(stand)).status_code == 429
    assert await status(stand, ada) == 200
    await stand.bench.user("bob", password=PASSWORD)
    assert (await login(stand, "bob")).status_code == 200  # another name, the same office
    assert (await login(stand, "nobody-here")).status_code == 401


async def test_a_burst_of_guesses_is_counted_as_many(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD)
    answers = await asyncio.gather(*(login(stand, "ada", f"wrong password {n}") for n in range(15)))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 10


async def test_whoever_is_turned_away_because_too_many_log_in_has_not_failed(
    stand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stand.bench.user("ada", password=PASSWORD)
    assert (await login(stand)).status_code == 200
    with monkeypatch.context() as busy:
        busy.setattr("corral.server.infrastructure.auth.hasher.WAITING_MAX", 0)
        assert [(await login(stand)).status_code for _ in range(8)] == [429] * 8
    assert (await login(stand)).status_code == 200


async def test_success_forgives_the_name(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD)
    for _ in range(3):
        for number in range(4):
            assert (await login(stand, "ada", f"wrong password {number}")).status_code == 401
        assert (await login(stand)).status_code == 200


async def test_logins_and_failures_are_recorded_with_the_name_and_never_the_password(
    stand: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await stand.bench.user("ada", password=PASSWORD)
    with caplog.at_level(logging.DEBUG):
        await entered(stand)
        for number in range(6):
            await login(stand, "ada", f"hunter2-{number}")
    rows = [(entry.actor, entry.outcome, entry.status) for entry in stand.db.audit if entry.action == "POST /login"]
    assert rows == [("ada", "ok", 200)] + [("ada", "unauthenticated", 401)] * 5 + [("ada", "failed", 429)]
    kept = f"{stand.db.audit!r} {stand.db.sessions!r} {stand.bench.users._users!r}"
    seen = " ".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records if record.name != "httpx2")
    assert "hunter2" not in kept + seen
    assert PASSWORD not in kept + seen


@pytest.mark.parametrize(
    "body",
    [
        {"name": "ada"},
        {"password": PASSWORD},
        {"name": "ada", "password": PASSWORD, "token": "crl_x"},
        {"invite": "x"},
        {"code": "x", "password": PASSWORD},
        {"name": "ada", "password": "x" * 2000},
    ],
)
async def test_a_login_that_is_no_whole_proof_is_bad_input(stand: Any, body: dict[str, str]) -> None:
    assert (await stand.client.post(f"{API}/login", json=body)).status_code == 400


async def test_disabling_a_user_ends_all_access_at_once_and_enabling_does_not_revive_it(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="viewer")
    session = (await login(stand)).json()["data"]
    ada = stand.bearer(session["access_token"])
    made = (await call(stand, "POST", "/me/api-tokens", ada, {"name": "ci"})).json()["data"]
    token = stand.bearer(made["token"])
    assert await status(stand, token) == 200
    assert (await call(stand, "PATCH", "/users/ada", stand.bearer(), {"disabled": True})).status_code == 200
    assert await status(stand, ada) == 401
    assert await status(stand, token) == 401
    assert (await login(stand)).status_code == 401
    refresh = {"refresh_token": session["refresh_token"]}
    assert (await stand.client.post(f"{API}/refresh", json=refresh)).status_code == 401
    await call(stand, "PATCH", "/users/ada", stand.bearer(), {"disabled": False})
    assert await status(stand, ada) == 401
    assert (await login(stand)).status_code == 200


async def test_a_new_password_ends_every_other_session_and_the_old_one_is_needed(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="viewer")
    here, there = await entered(stand), await entered(stand)
    wrong = await call(stand, "POST", "/me/password", here, {"old": OTHER, "new": "something else entirely"})
    assert wrong.status_code == 401
    answer = await call(stand, "POST", "/me/password", here, {"old": PASSWORD, "new": OTHER})
    assert answer.status_code == 200
    stand.client.cookies.clear()
    assert await status(stand, here) == 401
    assert await status(stand, there) == 401
    assert await status(stand, stand.bearer(answer.json()["data"]["access_token"])) == 200
    assert (await login(stand)).status_code == 401
    assert (await login(stand, password=OTHER)).status_code == 200


async def test_guessing_at_the_old_password_from_a_stolen_session_locks(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD)
    ada = await entered(stand)
    codes = []
    for number in range(7):
        body = {"old": f"wrong password {number}", "new": OTHER}
        codes.append((await call(stand, "POST", "/me/password", ada, body)).status_code)
    assert codes == [401] * 5 + [429] * 2


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("hunter2", "shorter"),
        ("x" * 1025, "longer"),
        ("é" * 600, "longer"),
        ("aaaaaaaaaaaaaa", "few different"),
        ("qwertyuiop123", "commonest"),
        ("PASSWORD12345", "commonest"),
        ("adalovelace-1815", "user's name"),
        ("tabs\tand\nlines in it", "typed"),
    ],
)
async def test_a_weak_password_is_refused_without_being_repeated(stand: Any, password: str, why: str) -> None:
    body = {"name": "adalovelace-1815", "password": password}
    answer = await call(stand, "POST", "/users", stand.bearer(), body)
    assert (answer.status_code, answer.json()["element"]) == (400, "password")
    assert why in answer.json()["message"]
    assert password not in answer.text or password == body["name"]
    assert await stand.bench.users.list(limit=9) == []


async def test_the_first_user_is_an_admin_and_the_second_is_nothing_until_somebody_says_so(stand: Any) -> None:
    for name in ("ada", "bob"):
        body = {"name": name, "password": PASSWORD}
        assert (await call(stand, "POST", "/users", stand.bearer(), body)).status_code == 201
    grants = (await stand.bench.book.book()).grants
    assert [(grant.subject, grant.role, grant.selector) for grant in grants] == [("ada", "admin", "all")]


async def test_a_password_somebody_else_set_is_good_for_setting_another_and_nothing_else(stand: Any) -> None:
    await call(stand, "POST", "/users", stand.bearer(), {"name": "ada", "password": PASSWORD})
    ada = await entered(stand)
    who = (await call(stand, "GET", "/whoami", ada)).json()["data"]
    assert (who["must_change"], who["permissions"]) == (True, [])
    assert await status(stand, ada, "/things/x") == 403
    assert (await call(stand, "POST", "/me/api-tokens", ada, {"name": "ci"})).status_code == 403
    changed = await call(stand, "POST", "/me/password", ada, {"old": PASSWORD, "new": OTHER})
    stand.client.cookies.clear()
    assert await status(stand, stand.bearer(changed.json()["data"]["access_token"]), "/things/x") == 200


async def test_an_invitation_is_good_once_and_for_three_days(stand: Any) -> None:
    made = (await call(stand, "POST", "/users", stand.bearer(), {"name": "ada", "roles": ["viewer"]})).json()["data"]
    code = made["invite"]
    assert code not in repr(stand.bench.users._users)
    weak = await stand.client.post(f"{API}/login", json={"invite": code, "password": "short"})
    assert weak.status_code == 400
    first = await stand.client.post(f"{API}/login", json={"invite": code, "password": PASSWORD})
    stand.client.cookies.clear()
    assert first.status_code == 200
    assert (await stand.client.post(f"{API}/login", json={"invite": code, "password": OTHER})).status_code == 401
    assert (await login(stand)).status_code == 200
    again = (await call(stand, "POST", "/users/ada/invite", stand.bearer(), {})).json()["data"]
    assert (await login(stand)).status_code == 401  # the password ended with the new invitation
    old = stand.clock.now() - timedelta(seconds=1)
    await stand.bench.users.change(again["id"], lambda have: replace(have, invite_expires_at=old))
    late = await stand.client.post(f"{API}/login", json={"invite": again["invite"], "password": OTHER})
    assert late.status_code == 401


async def test_a_user_with_a_role_that_cannot_be_given_is_not_half_made(stand: Any) -> None:
    body = {"name": "ada", "password": PASSWORD, "roles": ["viewer", "no-such-role"]}
    assert (await call(stand, "POST", "/users", stand.bearer(), body)).status_code == 404
    assert await stand.bench.users.list(limit=9) == []
    assert (await stand.bench.book.book()).grants == ()


async def test_the_last_admin_stays(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="admin")
    assert (await call(stand, "DELETE", "/users/ada", stand.bearer())).status_code == 409
    assert (await call(stand, "PATCH", "/users/ada", stand.bearer(), {"disabled": True})).status_code == 409
    await stand.bench.user("bob", password=PASSWORD, role="admin")
    assert (await call(stand, "DELETE", "/users/ada", stand.bearer())).status_code == 200
    assert (await call(stand, "GET", "/users/ada", stand.bearer())).status_code == 404


async def test_whoever_manages_people_cannot_become_an_admin_that_way(stand: Any) -> None:
    """A role with user.write and no more: its holder can neither take an admin over nor give what he has not."""
    await call(stand, "GET", "/whoami", stand.bearer())
    from corral.server.application.ports.roles import Role

    people = Role(name="people", permissions=frozenset({"user.read", "user.write"}))
    await stand.bench.roles.add_role(people)
    await stand.bench.user("ada", password=PASSWORD, role="admin")
    off = await stand.bench.user("off", password=PASSWORD, role="admin")
    await stand.bench.users.change(off.id, lambda have: replace(have, disabled=True))
    await stand.bench.user("mallory", password=PASSWORD)
    await stand.bench.grant("mallory", "people")
    mallory = await entered(stand, "mallory")
    for method, path, body in (
        ("POST", "/users/ada/password", {"password": OTHER}),
        ("POST", "/users/ada/invite", {}),
        ("PATCH", "/users/ada", {"disabled": True}),
        ("DELETE", "/users/ada", None),
        ("POST", "/users/off/password", {"password": OTHER}),
        ("PATCH", "/users/off", {"disabled": False}),
        ("POST", "/users", {"name": "eve", "password": OTHER, "roles": ["admin"]}),
    ):
        answer = await call(stand, method, path, mallory, body)
        assert answer.status_code == 403, (method, path, answer.text)
    assert (await call(stand, "POST", "/users", mallory, {"name": "eve", "password": OTHER})).status_code == 201
    assert (await call(stand, "POST", "/users/eve/password", mallory, {"password": PASSWORD})).status_code == 200
    assert await stand.bench.users.by_name("eve")


async def test_a_token_of_ones_own_may_what_its_owner_may_now(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="viewer")
    ada = await entered(stand)
    whole = (await call(stand, "POST", "/me/api-tokens", ada, {"name": "all of mine"})).json()["data"]
    narrow = {"name": "nodes", "permissions": ["node.read"]}
    narrow = (await call(stand, "POST", "/me/api-tokens", ada, narrow)).json()["data"]
    too_much = {"name": "more", "permissions": ["user.write"]}
    assert (await call(stand, "POST", "/me/api-tokens", ada, too_much)).status_code == 403
    who = (await call(stand, "GET", "/whoami", stand.bearer(whole["token"]))).json()["data"]
    assert (who["name"], who["kind"], "exec.read" in who["permissions"]) == ("ada", "token", True)
    who = (await call(stand, "GET", "/whoami", stand.bearer(narrow["token"]))).json()["data"]
    assert who["permissions"] == ["node.read"]
    for grant in (await stand.bench.book.book()).grants:
        await stand.bench.roles.drop_grant(grant.id, keep="")
    stand.bench.book.forget()
    assert await status(stand, stand.bearer(whole["token"]), "/things/x") == 403
    assert await status(stand, stand.bearer(narrow["token"]), "/things/x") == 403


async def test_a_token_makes_no_tokens_ends_no_sessions_and_sets_no_password_of_its_owner(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="admin")
    ada = await entered(stand)
    made = (await call(stand, "POST", "/me/api-tokens", ada, {"name": "ci"})).json()["data"]
    token = stand.bearer(made["token"])
    (session,) = (await call(stand, "GET", "/me/sessions", ada)).json()["data"]
    for method, path, body in (
        ("POST", "/me/api-tokens", {"name": "more"}),
        ("DELETE", f"/me/api-tokens/{made['id']}", None),
        ("DELETE", f"/me/sessions/{session['id']}", None),
        ("POST", "/me/password", {"old": PASSWORD, "new": OTHER}),
    ):
        assert (await call(stand, method, path, token, body)).status_code == 403, path
    assert await status(stand, ada) == 200


async def test_what_belongs_to_nobody_is_nobodys_own(stand: Any) -> None:
    limited = stand.bearer(await stand.token("node.read"))
    assert (await call(stand, "GET", "/me/api-tokens", limited)).json()["data"] == []
    assert (await call(stand, "DELETE", f"/me/api-tokens/{stand.admin_id}", limited)).status_code == 403
    assert await status(stand, stand.bearer()) == 200


async def test_a_token_an_admin_makes_is_theirs_and_dies_with_them(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="admin")
    await stand.bench.user("bob", password=PASSWORD, role="admin")
    ada = await entered(stand)
    made = (await call(stand, "POST", "/api-tokens", ada, {"name": "ci"})).json()["data"]
    user = await stand.bench.users.by_name("ada")
    assert made["owner"] == user.id
    session = (await stand.client.post(f"{API}/login", json={"token": made["token"]})).json()["data"]
    stand.client.cookies.clear()
    opened = stand.bearer(session["access_token"])
    assert await status(stand, opened) == 200
    await call(stand, "DELETE", "/users/ada", stand.bearer())
    assert await status(stand, stand.bearer(made["token"])) == 401
    assert await status(stand, opened) == 401


async def test_sessions_are_seen_and_ended_own_by_everybody_and_all_by_who_manages_people(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="viewer")
    await stand.bench.user("bob", password=PASSWORD, role="viewer")
    ada, ada_too, bob = await entered(stand), await entered(stand), await entered(stand, "bob")
    mine = (await call(stand, "GET", "/me/sessions", ada)).json()["data"]
    assert [row["current"] for row in mine].count(True) == 1
    assert {(row["name"], row["method"], row["address"]) for row in mine} == {("ada", "password", "192.0.2.7")}
    other = next(row["id"] for row in mine if not row["current"])
    assert (await call(stand, "DELETE", f"/me/sessions/{other}", bob)).status_code == 404
    assert (await call(stand, "DELETE", f"/me/sessions/{other}", ada)).status_code == 200
    assert [await status(stand, who) for who in (ada, ada_too, bob)] == [200, 401, 200]
    assert (await call(stand, "GET", "/sessions", ada)).status_code == 403
    of_bob = (await call(stand, "GET", "/sessions?user=bob", stand.bearer())).json()["data"]
    assert [row["name"] for row in of_bob] == ["bob"]
    assert (await call(stand, "DELETE", f"/sessions/{of_bob[0]['id']}", stand.bearer())).status_code == 200
    assert await status(stand, bob) == 401


async def test_another_server_hears_of_the_end_within_a_second(stand: Any) -> None:
    """What the other server changed, this one reads again when its memory of it is a second old."""
    await stand.bench.user("ada", password=PASSWORD, role="viewer")
    ada = await entered(stand)
    assert await status(stand, ada) == 200
    (session,) = stand.db.sessions.values()
    stand.db.sessions[session.id] = replace(session, revoked=True)
    for known in (stand.bench.sessions._lasting, stand.bench.guard.standing._by_id):
        assert known._seconds <= 1.0
        known._known = {key: (until - 1.0, found) for key, (until, found) in known._known.items()}
    assert await status(stand, ada) == 401


async def test_a_cookie_session_of_a_user_needs_the_csrf_value_for_writes(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="admin")
    answer = await stand.client.post(f"{API}/login", json={"name": "ada", "password": PASSWORD})
    csrf = answer.json()["data"]["csrf"]
    body = {"name": "x"}
    assert (await stand.client.post(f"{API}/things", json=body)).status_code == 403
    wrong = {b"X-Corral-CSRF": "é".encode("latin-1")}
    assert (await stand.client.post(f"{API}/things", json=body, headers=wrong)).status_code == 403
    assert (await stand.client.post(f"{API}/things", json=body, headers={"X-Corral-CSRF": csrf})).status_code == 201


async def test_users_are_changed_only_as_they_were_seen_and_listed_page_by_page(stand: Any) -> None:
    for name in ("cleo", "ada", "bob"):
        await stand.bench.user(name)
    page = (await call(stand, "GET", "/users?limit=2", stand.bearer())).json()
    assert ([row["name"] for row in page["data"]], page["next"]) == (["ada", "bob"], "bob")
    rest = (await call(stand, "GET", "/users?limit=2&cursor=bob", stand.bearer())).json()
    assert ([row["name"] for row in rest["data"]], rest["next"]) == (["cleo"], None)
    first = {"display_name": "Ada Lovelace", "resource_version": 1}
    assert (await call(stand, "PATCH", "/users/ada", stand.bearer(), first)).json()["data"]["resource_version"] == 2
    assert (await call(stand, "PATCH", "/users/ada", stand.bearer(), first)).status_code == 409
    bad = {"email": "a\nb"}
    assert (await call(stand, "PATCH", "/users/ada", stand.bearer(), bad)).status_code == 400


@pytest.mark.parametrize("name", ["Ada", "", "-ada", "a" * 65, "ada lovelace", "ädä", "../x", "ada\n"])
async def test_a_name_is_lower_case_and_plain(stand: Any, name: str) -> None:
    answer = await call(stand, "POST", "/users", stand.bearer(), {"name": name})
    assert (answer.status_code, answer.json()["element"]) == (400, "name")


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
