"""The selector language: what each form means, and what each mistake is told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.domain.errors import BadSelector
from corral.domain.node import Node, Presence
from corral.domain.selector.evaluate import explain, matches
from corral.domain.selector.parser import parse
from corral.domain.selector.tree import And, Named, Not, Or

GOLDEN = Path(__file__).parents[3] / "golden" / "selector" / "errors.json"

WEB = Node(
    id="web-1",
    labels={"role": "web", "env": "prod", "rack": "r12", "odd key": 'a "quoted" text', "app": "1.10.0"},
    groups=frozenset({"canary", "eu"}),
    facts={
        "hostname": "node-01",
        "mem_total": 17179869184,
        "kernel": "6.1.0-13-amd64",
        "cpus": "4",
        "load": 0.5,
        "virtual": True,
        "nothing": None,
        "addresses": ["10.0.0.1"],
    },
    presence=Presence.ONLINE,
    enrolled_at=datetime(2027, 1, 1, tzinfo=UTC),
)

TRUE = [
    "all",
    "true",
    "web-1",
    "web-1,web-2",
    "web-9 , web-1",
    "web-*",
    "web-?",
    "*",
    "*b-1",
    "w*1",
    "db-1,w*",
    'labels["role"] == "web"',
    "labels['role'] == 'web'",
    'labels["role"] == "web" and not ("other" in groups)',
    'system["hostname"] == "node-01"',
    'facts["hostname"] == "node-01"',
    '"canary" in groups',
    "'canary' in groups",
    '"other" not in groups',
    'not "other" in groups',
    'labels["env"] in ["prod","stage"]',
    'labels["env"] not in ["dev"]',
    'labels["none"] not in ["dev"]',
    'labels["none"] != "x"',
    'labels["rack"] =~ "^r1[0-9]$"',
    'labels["odd key"] == "a \\"quoted\\" text"',
    "labels['odd key'] == 'a \"quoted\" text'",
    'has labels["role"]',
    'not has labels["gpu"]',
    'has system["hostname"]',
    'not has facts["nothing"]',
    'facts["mem_total"] >= 16GiB',
    'facts["mem_total"] == 16GiB',
    'facts["mem_total"] < 17180MB',
    'facts["cpus"] > 3',
    'facts["cpus"] == 4',
    'facts["cpus"] == "4"',
    'facts["cpus"] in [2, 4]',
    'facts["load"] <= 0.5',
    'facts["load"] > -1',
    'facts["virtual"] == true',
    'facts["virtual"] == "true"',
    'facts["addresses"] =~ "10\\.0\\.0\\.1"',
    'version(facts["kernel"]) >= "6.1"',
    'version(facts["kernel"]) < "6.2"',
    'version(labels["app"]) > "1.9"',
    'version(labels["role"]) != "1"',
    "online",
    "not offline",
    "offline or online and web-1",
    "(offline or online) and web-1",
    "not (offline and web-1)",
    "\tonline\n and\r\nall ",
]
FALSE = [
    "web-2",
    "web-??",
    "eb-*",
    "WEB-*".lower() + " and offline",
    "offline",
    'labels["role"] != "web"',
    'labels["role"] == "Web"',
    'labels["none"] == ""',
    'labels["none"] =~ ""',
    'facts["none"] < 5',
    'facts["none"] >= 0',
    'facts["hostname"] > 1',
    'facts["nothing"] == "None"',
    'version(facts["none"]) < "9"',
    'version(facts["kernel"]) < "6.1"',
    '"r1" in groups',
    "not online or web-2",
    "not all",
]


@pytest.mark.parametrize("text", TRUE)
def test_a_selector_that_picks_the_node(text: str) -> None:
    assert matches(parse(text), WEB)


@pytest.mark.parametrize("text", FALSE)
def test_a_selector_that_does_not_pick_the_node(text: str) -> None:
    assert not matches(parse(text), WEB)


def test_and_binds_tighter_than_or_and_not_tighter_than_both() -> None:
    tree = parse("a or not b and c")
    assert isinstance(tree, Or)
    left, right = tree.terms
    assert isinstance(left, Named) and isinstance(right, And)
    assert isinstance(right.terms[0], Not)


def test_a_long_chain_is_flat_however_long() -> None:
    tree = parse(" or ".join(f"n{i}" for i in range(400)))
    assert isinstance(tree, Or) and len(tree.terms) == 400


def test_sixty_four_levels_are_allowed() -> None:
    assert matches(parse("(" * 64 + "online" + ")" * 64), WEB)
    assert matches(parse("not " * 64 + "online"), WEB)


@pytest.mark.parametrize("case", json.loads(GOLDEN.read_text()), ids=lambda case: case["selector"][:40] or "empty")
def test_a_mistake_is_told_as_the_golden_file_says(case: dict[str, Any]) -> None:
    with pytest.raises(BadSelector) as caught:
        parse(case["selector"])
    told = {"column": caught.value.column, "message": caught.value.message, "hint": caught.value.hint}
    assert told == {key: case[key] for key in told}
    assert f"column {case['column']}:" in case["message"]


def test_explain_judges_each_clause_and_shows_what_the_node_has() -> None:
    text = 'labels["role"] == "db" and not ("canary" in groups) and online'
    judged = explain(parse(text), text, WEB)
    assert [(clause.text, clause.value) for clause in judged] == [
        ('labels["role"] == "db"', False),
        ('"canary" in groups', True),
        ("online", True),
    ]
    assert [clause.actual for clause in judged] == ["'web'", "groups: canary, eu", "online"]


WORDS = st.sampled_from(
    [
        "all", "online", "offline", "and", "or", "not", "(", ")", "labels", "facts", "[", "]", '"k"', "'v'", "==", "!=", "=~",
        "<", ">=", "in", ",", "groups", "has", "version", "16GiB", "5", "web-1", "web-*", "metrics", "job", '"', "\\", "é", "=",
    ]
)  # fmt: skip


@given(
    st.one_of(
        st.text(max_size=200), st.lists(WORDS, max_size=40).map(" ".join), st.lists(WORDS, max_size=40).map("".join)
    )
)
def test_whatever_is_written_either_parses_or_is_a_bad_selector_within_the_text(text: str) -> None:
    try:
        tree = parse(text)
    except BadSelector as error:
        assert 1 <= error.column <= len(text) + 1
    else:
        assert matches(tree, WEB) in (True, False)


@pytest.mark.parametrize("unit", ["(", "not ", '"', "a,", 'labels["a"]==', "and ", "[", "a*b*", "\\", "1", "has "])
def test_the_longest_repetitions_are_refused_without_a_deep_stack(unit: str) -> None:
    with pytest.raises(BadSelector):
        parse((unit * 4096)[:4096])
