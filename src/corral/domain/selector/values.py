"""How a fact or label is compared: one definition for the index and for the brute-force evaluator.

A fact may be any JSON. `canonical` brings it to text or number: true and false are the texts "true" and "false", a whole float is
an integer, lists and objects are their compact JSON, null is absence. Text compares with a number when it reads as one.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias

Value: TypeAlias = str | int | float

NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?\Z")
SIZE: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,6})?)([KMGTP]?)(i?)B\Z", re.IGNORECASE)
_POWER: Final = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
TEXT_MAX_CHARS: Final = 1024
"""Longer values are compared by their first characters: a node's own claim may not slow the server down."""

_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def canonical(value: Any) -> Value | None:
    """The comparable form of a fact; None when there is nothing to compare."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return value if abs(value) < 10**30 else str(value)[:TEXT_MAX_CHARS] if abs(value) < 10**1000 else "huge"
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return int(value) if value.is_integer() and abs(value) < 1e30 else value
    if isinstance(value, str):
        return value[:TEXT_MAX_CHARS]
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)[:TEXT_MAX_CHARS]


def text_of(value: Value) -> str:
    return value if isinstance(value, str) else str(value)


def number_of(value: Value) -> int | float | None:
    """The number a value is or reads as."""
    if not isinstance(value, str):
        return value
    if NUMBER.match(value) is None:
        return None
    number = float(value) if "." in value else int(value)
    return int(number) if isinstance(number, float) and number.is_integer() and abs(number) < 1e30 else number


def equal(value: Value, literal: Value) -> bool:
    if isinstance(literal, str):
        return text_of(value) == literal
    return number_of(value) == literal


def compare(value: Value | None, sign: str, literal: Value) -> bool:
    """`value <sign> literal`; absence is unlike everything and in no order."""
    if sign == "==":
        return value is not None and equal(value, literal)
    if sign == "!=":
        return value is None or not equal(value, literal)
    number = None if value is None else number_of(value)
    return number is not None and _ORDER[sign](number, literal)


def literal_number(text: str) -> int | float | None:
    """`85`, `-1.5`, `16GiB`, `500MB` → the number; None when it is none of these."""
    if NUMBER.match(text):
        return number_of(text)
    match = SIZE.match(text)
    if match is None:
        return None
    amount, prefix, binary = match.groups()
    if binary and not prefix:
        return None
    number = float(amount) * (1024 if binary else 1000) ** _POWER[prefix.upper()]
    return int(number) if number.is_integer() else number


_RELEASE: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_PART: Final = re.compile(r"[0-9]+|[A-Za-z]+|~")
_BEFORE: Final = frozenset({"rc", "alpha", "beta", "a", "b", "c", "dev", "pre", "preview", "~"})
VersionKey: TypeAlias = tuple[tuple[int, ...], tuple[tuple[int, int, str], ...]]


def version_key(text: str) -> VersionKey | None:
    """A key that orders version texts; None when there is no digit in it.

    The dotted numbers count first (6.1 = 6.1.0), then what follows: rc, beta and the like before the release, the rest after
    it. So 6.1-rc2 < 6.1 < 6.1.0-13-amd64 < 6.1.1 < 6.10.
    """
    match = _RELEASE.search(text[:256])
    if match is None:
        return None
    release = [int(part) for part in match.group().split(".")]
    while len(release) > 1 and release[-1] == 0:
        release.pop()
    rest: list[tuple[int, int, str]] = []
    for part in _PART.findall(text[match.end() : 256]):
        if part.isdigit():
            rest.append((2, int(part), ""))
        else:
            rest.append((-1 if part.lower() in _BEFORE else 1, 0, part.lower()))
    rest.append((0, 0, ""))
    return tuple(release), tuple(rest)


def compare_version(value: Value | None, sign: str, literal: str) -> bool:
    """As `compare`, by version_key; a value that is no version is unlike everything and in no order."""
    mine = None if value is None else version_key(text_of(value))
    if mine is None:
        return sign == "!="
    return _ORDER[sign](mine, version_key(literal))
