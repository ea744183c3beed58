"""The path of an assertion: one value, said exactly."""

import pytest

from corral.domain.errors import Invalid
from corral.domain.jsonpath import MISSING, parse_path, value_at

DOCUMENT = {"a": {"b": [{"c d": 1}, {"c d": 2}], "n": None}, 'q"': True}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$", DOCUMENT),
        ("$.a.b[0]['c d']", 1),
        ('$.a.b[-1]["c d"]', 2),
        ("$.a.n", None),
        ('$["q\\""]', True),
        ("$.a.x", MISSING),
        ("$.a.b[2]", MISSING),
        ("$.a.b[-3]", MISSING),
        ("$.a[0]", MISSING),
        ("$.a.b.c", MISSING),
        ("$.a.n.x", MISSING),
    ],
)
def test_a_path_names_one_value_or_none(path, value):
    assert value_at(DOCUMENT, parse_path(path)) == value


@pytest.mark.parametrize(
    ("path", "column"),
    [
        ("a.b", 1),
        ("$a", 2),
        ("$.", 2),
        ("$..a", 2),
        ("$.a[*]", 4),
        ("$.a[1", 4),
        ('$["a', 2),
        ("$.a b", 4),
        ("", 1),
        ("$.é", 2),
    ],
)
def test_what_is_no_path_says_where(path, column):
    with pytest.raises(Invalid, match=f"at column {column}:"):
        parse_path(path)


def test_a_path_has_an_end():
    with pytest.raises(Invalid, match="more than 50 steps"):
        parse_path("$" + ".a" * 51)
