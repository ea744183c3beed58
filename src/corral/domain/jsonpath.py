"""A small JSONPath: `$.a.b[0]["c d"]`. One value, no wildcards, no filters: an assertion says exactly which value it is about."""

from __future__ import annotations

import re
from typing import Any, Final

from corral.domain.errors import Invalid

Step = str | int
_STEP: Final = re.compile(
    r"""\.([A-Za-z_][\w-]*)|\[(-?\d{1,6})\]|\["((?:[^"\\]|\\["\\])*)"\]|\['((?:[^'\\]|\\['\\])*)'\]"""
)
STEPS_MAX: Final = 50


class Missing:
    """What `value_at` answers when there is nothing at the path."""


MISSING: Final = Missing()


def parse_path(text: str, element: str = "path") -> tuple[Step, ...]:
    """Raises Invalid naming the column."""
    if not text.startswith("$"):
        raise _bad(text, 1, "expected $ first", element)
    at, steps = 1, list[Step]()
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            raise _bad(text, at + 1, 'expected .name, [number] or ["name"]', element)
        name, index, double, single = found.groups()
        if index is not None:
            steps.append(int(index))
        else:
            quoted = double if double is not None else single
            steps.append(name if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        at = found.end()
    if len(steps) > STEPS_MAX:
        raise _bad(text, 1, f"more than {STEPS_MAX} steps", element)
    return tuple(steps)


def value_at(document: Any, steps: tuple[Step, ...]) -> Any:
    """The value at the path, or MISSING. A negative index counts from the end."""
    for step in steps:
        if isinstance(step, int):
            if not isinstance(document, list) or not -len(document) <= step < len(document):
                return MISSING
            document = document[step]
        else:
            if not isinstance(document, dict) or step not in document:
                return MISSING
            document = document[step]
    return document


def _bad(text: str, column: int, cause: str, element: str) -> Invalid:
    return Invalid(
        f"cannot read path {text[:80]!r} at column {column}: {cause}",
        element=element,
        hint='for example $.items[0]["name"]',
    )
