"""Selectors that grants may stand on, and when one surely lies within another."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.domain.errors import BadSelector
from corral.domain.node import Node
from corral.domain.selector.evaluate import matches
from corral.domain.selector.parser import parse
from corral.domain.selector.standing import check_standing, groups_named, implies, label_keys


@pytest.mark.parametrize(
    "text",
    [
        "all",
        "web-1,web-2",
        "web-*",
        'labels["env"] == "dev" and not ("prod" in groups)',
        'has labels["gpu"] or labels["rack"] =~ "^r1"',
    ],
)
def test_a_grant_may_stand_on_what_the_server_owns(text: str) -> None:
    assert check_standing(text) == parse(text)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ('facts["env"] == "dev"', 1),
        ('labels["env"] == "dev" or system["hostname"] == "a"', 27),
        ('not has facts["gpu"]', 5),
        ('version(facts["kernel"]) < "6.1"', 1),
        ("web-* and online", 11),
        ("(web-* or offline)", 11),
        ('labels["a"] == "1" and facts["b"] in ["x"]', 24),
        ('facts["b"] =~ "x"', 1),
    ],
)
def test_a_grant_may_not_stand_on_what_a_node_says(text: str, column: int) -> None:
    with pytest.raises(BadSelector, match=f"at column {column}:") as refused:
        check_standing(text)
    assert refused.value.column == column
    assert refused.value.hint


@pytest.mark.parametrize("text", ['metrics["disk./"] > 85', 'job("J123") == failed'])
def test_words_of_jobs_and_metrics_are_refused_with_a_column(text: str) -> None:
    with pytest.raises(BadSelector) as refused:
        check_standing(text)
    assert refused.value.column >= 1


def test_it_knows_which_labels_and_groups_decide() -> None:
    tree = parse(
        'has labels["gpu"] and labels["env"] in ["a"] or not ("canary" in groups) or labels["r"] =~ "x" or web-*'
    )
    assert label_keys(tree) == {"gpu", "env", "r"}
    assert groups_named(tree) == {"canary"}


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("web-1", "all"),
        ("web-1", "web-1,web-2"),
        ("web-1", "web-*"),
        ("web-1,web-*", "db-*,web-*,web-1"),
        ('labels["env"] == "dev" and web-*', 'labels["env"] == "dev"'),
        ('labels["env"] == "dev"', 'labels["env"] in ["dev", "test"]'),
        ('labels["env"] in ["dev"]', 'has labels["env"]'),
        ('labels["env"] =~ "^d"', 'has labels["env"]'),
        ('labels["env"] == "dev" or labels["env"] == "test"', 'labels["env"] in ["dev", "test"]'),
        ('not labels["env"] in ["dev", "test"]', 'not labels["env"] == "dev"'),
        ('"a" in groups and "b" in groups', '"b" in groups and "a" in groups'),
    ],
)
def test_a_narrower_selector_implies_a_wider_one(narrow: str, wide: str) -> None:
    assert implies(parse(narrow), parse(wide))


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("all", "web-*"),
        ("web-*", "web-1*"),
        ('labels["env"] != "dev"', 'labels["env"] in ["dev"]'),
        ('labels["env"] == "dev" or web-1', 'labels["env"] == "dev"'),
        ('not ("a" in groups)', '"a" in groups'),
        ('labels["a"] == "x"', 'labels["b"] == "x"'),
        ('labels["a"] not in ["x"]', 'labels["a"] in ["x", "y"]'),
    ],
)
def test_what_is_not_surely_within_is_not_implied(narrow: str, wide: str) -> None:
    assert not implies(parse(narrow), parse(wide))


_CLAUSES = st.sampled_from(
    [
        "all",
        "web-1",
        "web-1,web-2",
        "web-*",
        'labels["env"] == "dev"',
        'labels["env"] != "dev"',
        'labels["env"] in ["dev", "test"]',
        'labels["env"] not in ["dev"]',
        'has labels["env"]',
        'labels["env"] =~ "^d"',
        '"a" in groups',
        '"a" not in groups',
    ]
)
_TEXTS = st.recursive(
    _CLAUSES,
    lambda inner: st.one_of(
        st.builds("({}) and ({})".format, inner, inner),
        st.builds("({}) or ({})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=5,
)
_NODES = [
    Node(id=id_, labels=labels, groups=groups)
    for id_ in ("web-1", "web-2", "web-3", "db-1")
    for labels in ({}, {"env": "dev"}, {"env": "test"}, {"env": "prod"})
    for groups in (frozenset[str](), frozenset({"a"}))
]


@settings(max_examples=600, deadline=None)
@given(narrow=_TEXTS, wide=_TEXTS)
def test_when_one_implies_another_no_node_is_in_the_first_alone(narrow: str, wide: str) -> None:
    first, second = parse(narrow), parse(wide)
    if implies(first, second):
        assert all(matches(second, node) for node in _NODES if matches(first, node))


def test_nested_ands_against_nested_ors_are_compared_in_no_time() -> None:
    narrow = " and ".join(f'(labels["k{i}"] == "a" or labels["k{i}"] == "b")' for i in range(40))
    wide = " or ".join(f'(labels["k{i}"] == "c" and labels["z{i}"] == "b")' for i in range(40))
    assert not implies(parse(narrow), parse(wide))
