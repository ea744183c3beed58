"""The fleet's rules as people write them: what is refused, what a node gets of them, and what the modes mean."""

from __future__ import annotations

from typing import Any

import pytest

from corral.domain.errors import BadSelector, Conflict, CorralError, Invalid, TooMany
from corral.domain.job import CommandSpec
from corral.domain.policy import Mode, Policy, check, parse_policy, parse_rules
from corral.domain.policy_rules import FleetPolicy, moved, parse_fleet_rule, parse_fleet_rules, with_rule
from corral.domain.policy_shipped import SHIPPED

DENY = {"id": "a", "effect": "deny", "match": {"program": ["x"]}}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"id": "No Spaces"}, "id"),
        ({"id": 7}, "id"),
        ({"effect": "maybe"}, "a"),
        ({"match": {}}, "a"),
        ({"match": {"regex": ["(a+)+$"]}}, "a"),
        ({"match": {"program": "x"}}, "a"),
        ({"match": {"program": ["x" * 9000]}}, "a"),
        ({"roles": "operator"}, "a"),
        ({"roles": ["Not A Role"]}, "a"),
        ({"selector": 'facts["os"] == "debian"'}, "selector"),
        ({"selector": "((("}, "selector"),
        ({"comment": "c" * 501}, "a"),
        ({"priority": 3}, "a"),
    ],
    ids=str,
)
def test_a_rule_half_understood_is_refused_and_the_culprit_named(change: dict[str, Any], what: str) -> None:
    with pytest.raises(CorralError) as refused:
        parse_fleet_rule({**DENY, **change})
    assert isinstance(refused.value, Invalid | BadSelector)
    assert refused.value.element == what


def test_two_rules_of_one_name_and_too_many_are_refused() -> None:
    with pytest.raises(Conflict):
        parse_fleet_rules([DENY, DENY])
    with pytest.raises(TooMany):
        parse_fleet_rules([{**DENY, "id": f"r{n}"} for n in range(201)])
    with pytest.raises(TooMany):
        parse_fleet_rules([{**DENY, "id": f"r{n}", "match": {"program": ["x" * 4000]}} for n in range(20)])


def test_what_is_written_down_is_what_was_read() -> None:
    rules = parse_fleet_rules([*SHIPPED, {**DENY, "roles": ["operator"], "selector": "web-*", "comment": "why"}])
    assert parse_fleet_rules([rule.as_mapping() for rule in rules]) == rules


def test_a_node_gets_what_it_can_decide() -> None:
    rules = parse_fleet_rules(
        [
            {**DENY, "id": "for-all"},
            {**DENY, "id": "for-web", "selector": "web-*"},
            {**DENY, "id": "for-operators", "roles": ["operator"]},
            {**DENY, "id": "exception", "effect": "allow", "roles": ["admin"]},
            {**DENY, "id": "asks", "effect": "approval"},
        ]
    )
    policy = FleetPolicy(revision=1, rules=rules)
    assert [rule["id"] for rule in policy.on_node(lambda selector: selector == "all")] == ["for-all", "exception"]
    sent = policy.on_node(lambda selector: True)
    assert [rule["id"] for rule in sent] == ["for-all", "for-web", "exception"]
    assert all(set(rule) == {"id", "effect", "match"} for rule in sent), "a node learns neither roles nor selectors"
    assert parse_rules(sent)
    assert policy.sent_selectors() == ("web-*",)


def test_rules_keep_their_order_when_one_is_put_or_moved() -> None:
    rules = parse_fleet_rules([{**DENY, "id": name} for name in "abc"])
    assert [rule.id for rule in moved(rules, "c", 1)] == ["c", "a", "b"]
    assert [rule.id for rule in with_rule(rules, parse_fleet_rule({**DENY, "id": "b"}), None)] == ["a", "b", "c"]
    assert [rule.id for rule in with_rule(rules, parse_fleet_rule({**DENY, "id": "n"}), None)] == ["a", "b", "c", "n"]


# --- modes ------------------------------------------------------------------------------------------------------------

EXCEPTION = {"id": "cache", "effect": "allow", "match": {"program": ["rm"], "removes": ["/var/lib/app/**"]}}
GUARDED = {"id": "guarded", "effect": "deny", "match": {"removes": ["/var/**"]}}


def allowed(text: str, mode: Mode, *rules: dict[str, Any]) -> bool:
    return check(CommandSpec(shell=text), Policy(parse_rules(list(rules)), mode)).allowed


def test_an_exception_covers_what_it_names_and_nothing_hidden_behind_it() -> None:
    rules = (EXCEPTION, GUARDED)
    assert allowed("rm -rf /var/lib/app/old", Mode.DENY_LIST, *rules)
    assert allowed("uptime", Mode.DENY_LIST, *rules), "a deny list with an exception is no allow list"
    for text in (
        "rm -rf /var/lib/app/../../log",
        "rm -rf /var/lib/app/old /var/log",
        "rm -rf /var/lib/app/$X /var/log",
        "rm -rf /var/lib/*",
        "rm -rf /var/lib/app/old > /dev/sda; rm -rf /var/log",
    ):
        assert not allowed(text, Mode.DENY_LIST, *rules), text


def test_without_a_mode_an_allow_rule_makes_an_allow_list() -> None:
    assert not allowed("uptime", Mode.BY_RULES, EXCEPTION)
    assert allowed("uptime", Mode.BY_RULES, GUARDED)


def test_an_allow_list_runs_exact_words_only() -> None:
    policy = Policy(
        parse_rules([{"id": "r", "effect": "allow", "match": {"argv": ["systemctl", "restart", "nginx*"]}}]),
        Mode.ALLOW_LIST,
    )
    passing = [("systemctl", "restart", "nginx"), ("/bin/systemctl", "restart", "nginx-2")]
    refused: list[tuple[str, ...]] = [
        ("systemctl", "restart", "nginx", "ssh"), ("systemctl", "stop", "nginx"), ("uptime",),
        ("sudo", "systemctl", "restart", "nginx"), ("sh", "-c", "systemctl restart nginx"), ("env", "systemctl"),
    ]  # fmt: skip
    assert all(check(CommandSpec(argv=argv), policy).allowed for argv in passing)
    assert not any(check(CommandSpec(argv=argv), policy).allowed for argv in refused)
    assert not check(CommandSpec(shell="systemctl restart nginx"), policy).allowed
    assert not check(CommandSpec(script="systemctl restart nginx"), policy).allowed
    assert not check(CommandSpec(argv=("uptime",)), Policy((), Mode.ALLOW_LIST)).allowed, "an empty one allows nothing"


def test_a_policy_file_may_name_its_mode() -> None:
    assert parse_policy([GUARDED]).mode is Mode.BY_RULES
    assert parse_policy({"mode": "deny-list", "rules": [EXCEPTION]}) == Policy(parse_rules([EXCEPTION]), Mode.DENY_LIST)
    with pytest.raises(Invalid):
        parse_policy({"mode": "open", "rules": []})


def test_a_text_over_64_kib_is_refused_and_other_languages_are_not_texts() -> None:
    policy = Policy(parse_rules([GUARDED]), Mode.DENY_LIST)
    long = "#" * ((64 << 10) + 1)
    assert check(CommandSpec(shell=long), policy).rule == "too-long"
    assert check(CommandSpec(script=long), policy).rule == "too-long"
    assert check(CommandSpec(shell=long[:-1]), policy).allowed
    assert check(CommandSpec(shell=long), Policy()).allowed, "no policy reads nothing"
