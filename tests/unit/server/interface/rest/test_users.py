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


async def test_a_user_logs_in_with_the_password_and_has_what_the_grants_say(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="operator", selector='labels["env"] == "dev"')
    answer = await stand.login(" Ada ")
    assert all("SameSite=strict" in c and "HttpOnly" in c for c in answer.headers.get_list("set-cookie"))
    who = (await stand.call("GET", "/whoami", stand.bearer(answer.json()["data"]["access_token"]))).json()["data"]
    assert (who["name"], who["kind"], who["method"], who["must_change"]) == ("ada", "user", "password", False)
    (grant,) = who["grants"]
    assert (grant["role"], grant["selector"]) == ("operator", 'labels["env"] == "dev"')
    assert "exec.run" in who["permissions"]
    assert "user.write" not in who["permissions"]


async def test_wrong_name_wrong_password_disabled_and_no_password_get_the_same_answer(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD)
    await stand.bench.user("invited")
    off = await stand.bench.user("off", password=PASSWORD)
    await stand.bench.users.change(off.id, lambda have: replace(have, disabled=True))
    answers = [
        await stand.login("ada", OTHER),
        await stand.login("nobody-here", PASSWORD),
        await stand.login("invited", PASSWORD),
        await stand.login("off", PASSWORD),
        await stand.login("no such name!", PASSWORD),
        await stand.login("ada\0", PASSWORD),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({(answer.json()["message"], answer.json()["hint"]) for answer in answers}) == 1


async def test_an_unknown_name_costs_the_same_hashing(stand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await stand.bench.user("ada", password=PASSWORD)
    await stand.login()
    hasher, seen = stand.bench.guard.hasher, []
    real = hasher._matches
    monkeypatch.setattr(hasher, "_matches", lambda known, password: seen.append(known) or real(known, password))
    await stand.login("ada", OTHER)
    await stand.login("nobody-here", OTHER)
    assert len(seen) == 2
    assert seen[0].rsplit("$", 2)[0] == seen[1].rsplit("$", 2)[0]  # the same algorithm and parameters


async def test_a_burst_of_guesses_is_counted_as_many(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD)
    answers = await asyncio.gather(*(stand.login("ada", f"wrong password {n}") for n in range(15)))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 10


async def test_whoever_is_turned_away_because_too_many_log_in_has_not_failed(
    stand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stand.bench.user("ada", password=PASSWORD)
    assert (await stand.login()).status_code == 200
    with monkeypatch.context() as busy:
        busy.setattr("corral.server.infrastructure.auth.hasher.WAITING_MAX", 0)
        assert [(await stand.login()).status_code for _ in range(8)] == [429] * 8
    assert (await stand.login()).status_code == 200


async def test_success_forgives_the_name(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD)
    for _ in range(3):
        for number in range(4):
            assert (await stand.login("ada", f"wrong password {number}")).status_code == 401
        assert (await stand.login()).status_code == 200


async def test_logins_and_failures_are_recorded_with_the_name_and_never_the_password(
    stand: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await stand.bench.user("ada", password=PASSWORD)
    with caplog.at_level(logging.DEBUG):
        await stand.entered()
        for number in range(6):
            await stand.login("ada", f"hunter2-{number}")
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
    answer = await stand.call("POST", "/users", stand.bearer(), body)
    assert (answer.status_code, answer.json()["element"]) == (400, "password")
    assert why in answer.json()["message"]
    assert password not in answer.text or password == body["name"]
    assert await stand.bench.users.list(limit=9) == []


async def test_the_first_user_is_an_admin_and_the_second_is_nothing_until_somebody_says_so(stand: Any) -> None:
    for name in ("ada", "bob"):
        body = {"name": name, "password": PASSWORD}
        assert (await stand.call("POST", "/users", stand.bearer(), body)).status_code == 201
    grants = (await stand.bench.book.book()).grants
    assert [(grant.subject, grant.role, grant.selector) for grant in grants] == [("ada", "admin", "all")]


async def test_a_password_somebody_else_set_is_good_for_setting_another_and_nothing_else(stand: Any) -> None:
    await stand.call("POST", "/users", stand.bearer(), {"name": "ada", "password": PASSWORD})
    ada = await stand.entered()
    who = (await stand.call("GET", "/whoami", ada)).json()["data"]
    assert (who["must_change"], who["permissions"]) == (True, [])
    assert await stand.status(ada, "/things/x") == 403
    assert (await stand.call("POST", "/me/api-tokens", ada, {"name": "ci"})).status_code == 403
    changed = await stand.call("POST", "/me/password", ada, {"old": PASSWORD, "new": OTHER})
    stand.client.cookies.clear()
    assert await stand.status(stand.bearer(changed.json()["data"]["access_token"]), "/things/x") == 200


async def test_an_invitation_is_good_once_and_for_three_days(stand: Any) -> None:
    made = (await stand.call("POST", "/users", stand.bearer(), {"name": "ada", "roles": ["viewer"]})).json()["data"]
    code = made["invite"]
    assert code not in repr(stand.bench.users._users)
    weak = await stand.client.post(f"{API}/login", json={"invite": code, "password": "short"})
    assert weak.status_code == 400
    first = await stand.client.post(f"{API}/login", json={"invite": code, "password": PASSWORD})
    stand.client.cookies.clear()
    assert first.status_code == 200
    assert (await stand.client.post(f"{API}/login", json={"invite": code, "password": OTHER})).status_code == 401
    assert (await stand.login()).status_code == 200
    again = (await stand.call("POST", "/users/ada/invite", stand.bearer(), {})).json()["data"]
    assert (await stand.login()).status_code == 401  # the password ended with the new invitation
    old = stand.clock.now() - timedelta(seconds=1)
    await stand.bench.users.change(again["id"], lambda have: replace(have, invite_expires_at=old))
    late = await stand.client.post(f"{API}/login", json={"invite": again["invite"], "password": OTHER})
    assert late.status_code == 401


async def test_a_user_with_a_role_that_cannot_be_given_is_not_half_made(stand: Any) -> None:
    body = {"name": "ada", "password": PASSWORD, "roles": ["viewer", "no-such-role"]}
    assert (await stand.call("POST", "/users", stand.bearer(), body)).status_code == 404
    assert await stand.bench.users.list(limit=9) == []
    assert (await stand.bench.book.book()).grants == ()


async def test_the_last_admin_stays(stand: Any) -> None:
    await stand.bench.user("ada", password=PASSWORD, role="admin")
    assert (await stand.call("DELETE", "/users/ada", stand.bearer())).status_code == 409
    assert (await stand.call("PATCH", "/users/ada", stand.bearer(), {"disabled": True})).status_code == 409
    await stand.bench.user("bob", password=PASSWORD, role="admin")
    assert (await stand.call("DELETE", "/users/ada", stand.bearer())).status_code == 200
    assert (await stand.call("GET", "/users/ada", stand.bearer())).status_code == 404


async def test_whoever_manages_people_cannot_become_an_admin_that_way(stand: Any) -> None:
    """A role with user.write and no more: its holder can neither take an admin over nor give what he has not."""
    await stand.call("GET", "/whoami", stand.bearer())
    from corral.server.application.ports.roles import Role

    people = Role(name="people", permissions=frozenset({"user.read", "user.write"}))
    await stand.bench.roles.add_role(people)
    await stand.bench.user("ada", password=PASSWORD, role="admin")
    off = await stand.bench.user("off", password=PASSWORD, role="admin")
    await stand.bench.users.change(off.id, lambda have: replace(have, disabled=True))
    await stand.bench.user("mallory", password=PASSWORD)
    await stand.bench.grant("mallory", "people")
    mallory = await stand.entered("mallory")
    for method, path, body in (
        ("POST", "/users/ada/password", {"password": OTHER}),
        ("POST", "/users/ada/invite", {}),
        ("PATCH", "/users/ada", {"disabled": True}),
        ("DELETE", "/users/ada", None),
        ("POST", "/users/off/password", {"password": OTHER}),
        ("PATCH", "/users/off", {"disabled": False}),
        ("POST", "/users", {"name": "eve", "password": OTHER, "roles": ["admin"]}),
    ):
        answer = await stand.call(method, path, mallory, body)
        assert answer.status_code == 403, (method, path, answer.text)
    assert (await stand.call("POST", "/users", mallory, {"name": "eve", "password": OTHER})).status_code == 201
    assert (await stand.call("POST", "/users/eve/password", mallory, {"password": PASSWORD})).status_code == 200
    assert await stand.bench.users.by_name("eve")


async def test_users_are_changed_only_as_they_were_seen_and_listed_page_by_page(stand: Any) -> None:
    for name in ("cleo", "ada", "bob"):
        await stand.bench.user(name)
    page = (await stand.call("GET", "/users?limit=2", stand.bearer())).json()
    assert ([row["name"] for row in page["data"]], page["next"]) == (["ada", "bob"], "bob")
    rest = (await stand.call("GET", "/users?limit=2&cursor=bob", stand.bearer())).json()
    assert ([row["name"] for row in rest["data"]], rest["next"]) == (["cleo"], None)
    first = {"display_name": "Ada Lovelace", "resource_version": 1}
    assert (await stand.call("PATCH", "/users/ada", stand.bearer(), first)).json()["data"]["resource_version"] == 2
    assert (await stand.call("PATCH", "/users/ada", stand.bearer(), first)).status_code == 409
    bad = {"email": "a\nb"}
    assert (await stand.call("PATCH", "/users/ada", stand.bearer(), bad)).status_code == 400


@pytest.mark.parametrize("name", ["Ada", "", "-ada", "a" * 65, "ada lovelace", "ädä", "../x", "ada\n"])
async def test_a_name_is_lower_case_and_plain(stand: Any, name: str) -> None:
    answer = await stand.call("POST", "/users", stand.bearer(), {"name": name})
    assert (answer.status_code, answer.json()["element"]) == (400, "name")
