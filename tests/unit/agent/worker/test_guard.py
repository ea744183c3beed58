"""The policy in force on a node: the server's mode counts, and its own file can only narrow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from corral.agent.worker.guard import Guard
from corral.domain.errors import Invalid
from corral.domain.job import CommandSpec
from corral.testing.clock import FakeClock

DENY: dict[str, Any] = {"id": "no-make", "effect": "deny", "match": {"program": ["make"]}}
ALLOW: dict[str, Any] = {"id": "uptime", "effect": "allow", "match": {"argv": ["uptime"]}}


def runs(guard: Guard, *argv: str) -> bool:
    return guard.check(CommandSpec(argv=argv)).allowed


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    return Guard(tmp_path / "policy.json", FakeClock())


def test_the_mode_says_what_may_run_that_no_rule_matches(guard: Guard) -> None:
    guard.adopt(1, [ALLOW, DENY], "deny-list")
    assert runs(guard, "ls") and not runs(guard, "make")
    guard.adopt(2, [ALLOW, DENY], "allow-list")
    assert runs(guard, "uptime") and not runs(guard, "ls")
    assert not guard.check(CommandSpec(shell="uptime")).allowed
    guard.adopt(3, [], "allow-list")
    assert not runs(guard, "uptime"), "an allow list without rules allows nothing"


def test_what_cannot_be_read_leaves_the_old_rules_in_force(guard: Guard) -> None:
    guard.adopt(1, [DENY], "deny-list")
    for rules, mode in (([{"id": "x"}], "deny-list"), ([DENY], "no-such-mode")):
        with pytest.raises(Invalid):
            guard.adopt(2, rules, mode)
    assert guard.revision == 1 and not runs(guard, "make")


def test_the_nodes_own_file_may_be_an_allow_list_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text(json.dumps({"mode": "allow-list", "rules": [ALLOW]}))
    guard = Guard(tmp_path / "policy.json", FakeClock())
    guard.adopt(1, [], "deny-list")
    assert runs(guard, "uptime") and not runs(guard, "ls")


def test_the_nodes_own_file_cannot_widen(tmp_path: Path) -> None:
    own = {"mode": "deny-list", "rules": [{**DENY, "id": "mine", "effect": "allow"}]}
    (tmp_path / "policy.json").write_text(json.dumps(own))
    guard = Guard(tmp_path / "policy.json", FakeClock())
    guard.adopt(1, [DENY], "deny-list")
    assert not runs(guard, "make") and runs(guard, "ls")
