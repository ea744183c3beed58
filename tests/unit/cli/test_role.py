"""`corral role` and `corral can-i`: what they ask of the server, what they print, how they exit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from corral.testing.fake_api import FakeApi

DEV = 'labels["env"] == "dev"'
ROLES = {
    "viewer": {"name": "viewer", "permissions": ["node.read"], "description": "Sees.", "max_nodes": None, "ready": True},
    "admin": {"name": "admin", "permissions": ["*"], "description": "Everything.", "max_nodes": None, "ready": True},
    "careful": {
        "name": "careful", "permissions": ["exec.run", "exec.shell"], "description": "", "max_nodes": 20, "ready": False,
    },
}  # fmt: skip
GRANTS = [
    {"id": "G1", "role": "operator", "subject": "ana", "subject_kind": "user", "selector": DEV, "created_by": "root"},
    {
        "id": "G2",
        "role": "operator",
        "subject": "ana",
        "subject_kind": "user",
        "selector": "web-1",
        "created_by": "root",
    },
    {"id": "G3", "role": "viewer", "subject": "devs", "subject_kind": "group", "selector": "all", "created_by": "root"},
]


class FakeRoles:
    """`fleet.roles` over lists, noting what was asked."""

    asked: list[tuple[Any, ...]]
    answer: dict[str, Any]

    def __init__(self, api: Any) -> None:
        pass

    async def list(self) -> Any:
        return list(ROLES.values())

    async def show(self, name: str) -> Any:
        return {**ROLES[name], "resource_version": 3}

    async def create(self, name: str, permissions: Any, **fields: Any) -> Any:
        self.asked.append(("create", name, permissions, fields))
        return {"name": name, "permissions": permissions, **fields}

    async def set(self, name: str, **fields: Any) -> Any:
        self.asked.append(("set", name, fields))
        return {**ROLES[name], **fields}

    async def delete(self, name: str, **fields: Any) -> None:
        self.asked.append(("delete", name))

    async def grants(self, *, user: str | None = None, role: str | None = None) -> Any:
        return [one for one in GRANTS if role in (None, one["role"]) and user in (None, one["subject"])]

    async def grant(self, role: str, subject: str, *, selector: str, group: bool) -> Any:
        self.asked.append(("grant", role, subject, selector, group))
        kind = "group" if group else "user"
        return {"id": "G9", "role": role, "subject": subject, "subject_kind": kind, "selector": selector}

    async def revoke(self, grant: str) -> Any:
        self.asked.append(("revoke", grant))
        return next(one for one in GRANTS if one["id"] == grant)

    async def can_i(self, permission: str, selector: str | None, *, user: str | None) -> Any:
        self.asked.append(("can-i", permission, selector, user))
        return self.answer

    async def held(self, *, user: str | None) -> Any:
        return {} if user == "nobody" else {"exec.run": [DEV, "web-1"], "node.read": ["all"]}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, api: FakeApi) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(FakeRoles, "asked", calls, raising=False)
    monkeypatch.setattr("corral.sdk.fleet.Roles", FakeRoles)
    return calls


def answers(monkeypatch: pytest.MonkeyPatch, verdict: str, outside: list[str], nodes: int, grants: Any = ()) -> None:
    answer = {"verdict": verdict, "outside": outside, "nodes": nodes, "grants": list(grants), "why": "because"}
    monkeypatch.setattr(FakeRoles, "answer", answer, raising=False)


def test_roles_are_listed_and_shown(cli: Callable[..., Any], asked: Any) -> None:
    text = cli("role", "list").out
    assert "everything" in text and "own" in text and "careful" in text
    assert cli("role", "list", "-o", "name").out.split() == ["viewer", "admin", "careful"]
    assert (
        cli("role", "show", "careful").out == "careful\nat most 20 nodes in one submission\n  exec.run\n  exec.shell\n"
    )


def test_a_role_is_made_from_another_without_some_words(cli: Callable[..., Any], asked: Any) -> None:
    made = cli("role", "create", "mine", "--like", "careful", "--permissions", "node.read", "--without", "exec.shell")
    assert made.status == 0
    assert asked == [("create", "mine", ["exec.run", "node.read"], {"description": "", "max_nodes": None})]


def test_a_role_is_changed_over_the_version_that_was_read(cli: Callable[..., Any], asked: Any) -> None:
    assert cli("role", "set", "careful", "--add", "node.read", "--remove", "exec.shell", "--no-max-nodes").status == 0
    assert asked == [("set", "careful", {"if_match": 3, "permissions": ["exec.run", "node.read"], "max_nodes": None})]
    assert cli("role", "set", "careful").status == 2
    assert cli("role", "set", "careful", "--max-nodes", "5", "--no-max-nodes").status == 2
    assert len(asked) == 1


def test_a_role_is_granted_to_one_user_or_one_group(cli: Callable[..., Any], asked: Any) -> None:
    assert cli("role", "grant", "operator", "--to", "ana", "-t", DEV).out == f"ana has operator on {DEV}\n"
    assert cli("role", "grant", "viewer", "--to-group", "devs").out == "group devs has viewer on all\n"
    assert asked == [("grant", "operator", "ana", DEV, False), ("grant", "viewer", "devs", "all", True)]
    assert cli("role", "grant", "viewer").status == 2
    assert cli("role", "grant", "viewer", "--to", "a", "--to-group", "b").status == 2


def test_revoking_takes_every_grant_of_the_role_or_the_one_that_is_named(cli: Callable[..., Any], asked: Any) -> None:
    gone = cli("role", "revoke", "operator", "--from", "ana")
    assert gone.out == f"ana has operator on {DEV} no more\nana has operator on web-1 no more\n"
    assert cli("role", "revoke", "operator", "--from", "ana", "-t", "web-1").status == 0
    assert cli("role", "revoke", "G3").out == "group devs has viewer on all no more\n"
    assert asked == [("revoke", "G1"), ("revoke", "G2"), ("revoke", "G2"), ("revoke", "G3")]
    missing = cli("role", "revoke", "operator", "--from", "ben")
    assert missing.status == 3 and "no such grant" in missing.err


def test_grants_are_listed_with_who_and_where(cli: Callable[..., Any], asked: Any) -> None:
    text = cli("role", "grants").out
    assert "group devs" in text and DEV in text and "G1" not in text
    assert "G1" in cli("role", "grants", "-o", "wide").out
    assert cli("role", "grants", "--user", "nobody").out == "no grants\n"


def test_can_i_says_yes_some_or_no_and_exits_accordingly(
    cli: Callable[..., Any], asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    by = [{"grant": "G1", "role": "operator", "selector": DEV, "nodes": 2}]
    answers(monkeypatch, "yes", [], 2, by)
    found = cli("can-i", "exec.run", "-t", DEV)
    assert (found.status, found.out) == (0, f"yes: because\n  grant G1: role operator on {DEV} (2 of 2)\n")
    answers(monkeypatch, "some", ["prod-1", "prod-2"], 4, by)
    found = cli("can-i", "exec.run", "-t", "all", "--as", "ana")
    assert found.status == 1 and found.out.startswith("yes on 2 of 4; no on prod-1, prod-2\n")
    answers(monkeypatch, "no", ["prod-1"], 1)
    assert cli("can-i", "exec.run", "-t", "prod-1", "-o", "name").out == "no\n"
    assert asked == [
        ("can-i", "exec.run", DEV, None), ("can-i", "exec.run", "all", "ana"), ("can-i", "exec.run", "prod-1", None),
    ]  # fmt: skip


def test_many_nodes_are_not_all_named(cli: Callable[..., Any], asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "some", [f"n{i}" for i in range(30)], 40)
    assert cli("can-i", "exec.run", "-t", "all").out.endswith("n19 and 10 more (-o wide)\n")
    assert "n29" in cli("can-i", "exec.run", "-t", "all", "-o", "wide").out


def test_can_i_lists_what_is_held_and_asks_one_thing_at_a_time(cli: Callable[..., Any], asked: Any) -> None:
    found = cli("can-i", "--list")
    assert found.status == 0 and f"{DEV} or web-1" in found.out
    assert cli("can-i", "--list", "--as", "nobody").status == 1
    assert cli("can-i").status == 2
    assert cli("can-i", "exec.run", "--list").status == 2
