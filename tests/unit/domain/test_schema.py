"""The schema checker: what it refuses it names, and what it would not enforce it refuses as a schema."""

import pytest

from corral.domain.errors import Invalid
from corral.domain.schema import check, check_schema, with_defaults

SCHEMA = {
    "type": "object",
    "properties": {
        "method": {"type": "string", "enum": ["GET", "POST"], "default": "GET"},
        "url": {"type": "string", "minLength": 1, "maxLength": 20, "pattern": "^https?://"},
        "times": {"type": "integer", "minimum": 1, "maximum": 3},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        "body": {"type": ["string", "null"]},
        "deep": {"type": "boolean"},
    },
    "required": ["url"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("change", "element", "words"),
    [
        ({"url": None}, "params.url", "cannot use None as params.url: expected string"),
        ({"url": "ftp://x"}, "params.url", "matches ^https?://"),
        ({"url": ""}, "params.url", "0 characters, expected at least 1"),
        ({"url": "http://" + "x" * 20}, "params.url", "27 characters, expected at most 20"),
        ({"method": "PUT"}, "params.method", "one of 'GET', 'POST'"),
        ({"times": 0}, "params.times", "at least 1"),
        ({"times": 4}, "params.times", "at most 3"),
        ({"times": True}, "params.times", "expected integer"),
        ({"times": 1.5}, "params.times", "expected integer"),
        ({"tags": ["a", 1]}, "params.tags[1]", "expected string"),
        ({"tags": ["a", "b", "c"]}, "params.tags", "3 items, expected at most 2"),
        ({"headers": {"A": 1}}, "params.headers.A", "expected string"),
        ({"body": 3}, "params.body", "expected string or null"),
        ({"deep": 1}, "params.deep", "expected boolean"),
        ({"more": 1}, "params.more", "there is no 'more'"),
    ],
)
def test_what_does_not_fit_is_named_with_what_was_expected(change, element, words):
    with pytest.raises(Invalid, match="cannot use") as caught:
        check(SCHEMA, {"url": "http://a", **change})
    assert caught.value.element == element
    assert words in caught.value.message


def test_what_is_missing_is_named():
    with pytest.raises(Invalid, match="'url' is missing") as caught:
        check(SCHEMA, {})
    assert caught.value.element == "params.url"


def test_what_fits_passes_and_defaults_fill_what_was_left_away():
    value = {"url": "http://a", "times": 2.0, "tags": [], "headers": {"A": "b"}, "body": None}
    check(SCHEMA, value)
    assert with_defaults(SCHEMA, value)["method"] == "GET"
    assert with_defaults(SCHEMA, {"url": "x", "method": "POST"})["method"] == "POST"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "oneOf": []},
        {"type": "text"},
        {"type": "object", "properties": {"a": {"$ref": "#/x"}}},
        {"type": "array", "items": {"not": {}}},
        {"type": "object", "additionalProperties": {"if": {}}},
        [],
    ],
)
def test_a_schema_with_words_that_would_not_be_enforced_is_refused(schema):
    with pytest.raises(Invalid, match="cannot use schema"):
        check_schema(schema)


def test_a_schema_of_known_words_is_taken():
    check_schema(SCHEMA)
