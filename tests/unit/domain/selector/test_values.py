"""How facts compare: canonical forms, sizes, versions, globs."""

from __future__ import annotations

import fnmatch
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.domain.selector.glob import glob_matches, literal_prefix
from corral.domain.selector.values import canonical, compare, literal_number, version_key

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("85", 85), ("-1.5", -1.5), ("16GiB", 16 << 30), ("500MB", 500_000_000), ("1.5KiB", 1536), ("1kB", 1000), ("7B", 7),
        ("16Gi", None), ("iB", None), ("5iB", None), ("1e5", None), ("", None), ("0x10", None), ("1_000", None), ("½", None),
    ],
)  # fmt: skip
def test_a_literal_number(text: str, number: float | None) -> None:
    assert literal_number(text) == number


@given(JSON)
def test_whatever_a_node_claims_has_a_bounded_canonical_form_that_compares(value: object) -> None:
    form = canonical(value)
    assert form is None or isinstance(form, (str, int, float))
    assert not isinstance(form, bool)
    assert not (isinstance(form, float) and not math.isfinite(form))
    assert len(str(form)) <= 1100
    assert compare(form, "==", "x") is not compare(form, "!=", "x")
    assert compare(form, "<", 5) in (True, False)


def test_true_is_not_one_and_a_whole_float_is_its_integer() -> None:
    assert canonical(True) == "true"
    assert canonical(1.0) == 1 and isinstance(canonical(1.0), int)
    assert canonical(10**5000) == "huge"


def test_versions_sort_as_people_mean_them() -> None:
    rising = ["5.10", "6.1-rc2", "6.1", "6.1.0-13-amd64", "6.1.1", "6.2~beta1", "6.2", "6.10", "10"]
    keys = [version_key(text) for text in rising]
    assert keys == sorted(keys, key=lambda key: key or ((), ()))
    assert len(set(keys)) == len(keys)
    assert version_key("6.1") == version_key("6.1.0") == version_key("v6.1")
    assert version_key("none") is None


@given(st.text(alphabet="ab-*?", min_size=1, max_size=12), st.text(alphabet="ab-", max_size=12))
def test_globs_agree_with_fnmatch(glob: str, text: str) -> None:
    assert glob_matches(glob, text) is fnmatch.fnmatchcase(text, glob)
    prefix, decides = literal_prefix(glob)
    if glob_matches(glob, text):
        assert text.startswith(prefix)
    if decides and text.startswith(prefix):
        assert glob_matches(glob, text)
