"""The pattern matcher finds exactly what re.search finds, refuses what it does not know, and never takes long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.domain.selector.pattern import BadPattern, Program, compile_pattern

ATOMS = st.sampled_from(
    [
        "a",
        "b",
        "c",
        ".",
        "[ab]",
        "[^a]",
        "[a-c]",
        r"\d",
        r"\w",
        r"\s",
        r"\.",
        "x",
        "1",
        "(a|b)",
        "(?:ab)",
        "[]a]",
        r"[\d-]",
    ]
)
REPEATS = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,}", "{0,2}", "*?", "+?"])
PIECES = st.tuples(ATOMS, REPEATS).map("".join)
BRANCHES = st.lists(st.one_of(PIECES, st.sampled_from(["^", "$"])), max_size=6).map("".join)
PATTERNS = st.one_of(
    st.lists(BRANCHES, min_size=1, max_size=3).map("|".join),
    st.tuples(BRANCHES, BRANCHES, REPEATS).map(lambda p: f"{p[0]}(?:x{p[1]}){p[2]}"),
)
TEXTS = st.text(alphabet="abcx1. -]é", max_size=12)


@settings(max_examples=400)
@given(PATTERNS, TEXTS)
def test_it_agrees_with_re_search(pattern: str, text: str) -> None:
    assert compile_pattern(pattern)(text) is (re.search(pattern, text) is not None)


@given(st.text(alphabet="ab[](){}*+?|^$\\d.,-19:<=!P", max_size=30), TEXTS)
def test_what_it_accepts_it_runs_and_what_it_refuses_is_a_bad_pattern(pattern: str, text: str) -> None:
    try:
        search = compile_pattern(pattern)
    except BadPattern as error:
        assert 1 <= error.position <= len(pattern) + 1
        return
    assert search(text) in (True, False)


@pytest.mark.parametrize(
    ("pattern", "position"),
    [("a(b", 2), ("a)", 2), ("[a", 1), ("a{2", 2), ("a{3,2}", 2), ("a{999}", 2), ("a|*", 3), ("^*", 1), (r"\1", 2), ("(?<n>a)", 2)],
)  # fmt: skip
def test_a_refusal_points_at_the_place(pattern: str, position: int) -> None:
    with pytest.raises(BadPattern) as caught:
        compile_pattern(pattern)
    assert caught.value.position == position


def test_the_end_is_the_very_end() -> None:
    assert not compile_pattern("a$")("a\n")
    assert not compile_pattern("a.b")("a\nb")


def test_a_bomb_of_repetitions_is_refused_before_it_is_built() -> None:
    with pytest.raises(BadPattern, match="multiply"):
        compile_pattern("((((a{99}){99}){99}){99}){99}")


def test_steps_stay_in_proportion_to_the_text_where_backtracking_explodes(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    step = Program._step

    def counted(self: Program, states: frozenset[int], char: str) -> frozenset[int]:
        nonlocal steps
        steps += 1
        return step(self, states, char)

    monkeypatch.setattr(Program, "_step", counted)
    for pattern in ("(a+)+$", "^(a|a)*$", "(a*)*b", "(?:a?){30}a{30}$", "(.*)(.*)(.*)(.*)x$"):
        steps = 0
        assert compile_pattern(pattern)("a" * 1000 + "!") is False
        assert steps <= 1001
