"""Secrets as a spec names them: `{{ secret.NAME }}`. The spec keeps the name; the node fills the value in when the task starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from corral.domain.errors import Invalid

VALUE_BYTES_MAX: Final = 64 << 10
NAME_PATTERN: Final = r"[A-Za-z][A-Za-z0-9_.-]{0,63}"
_REFERENCE: Final = re.compile(r"\{\{\s{0,8}secret\.(" + NAME_PATTERN + r")\s{0,8}\}\}")


def check_secret_name(name: str, *, element: str = "name") -> None:
    """Raise Invalid naming the field and what was expected."""
    if re.fullmatch(NAME_PATTERN, name) is None:
        raise Invalid(
            f"cannot name a secret {name[:64]!r}: expected a letter, then letters, digits, '_', '.' and '-', at most 64 in all",
            element=element,
            hint="example: shop.db.password",
        )


def references(value: Any) -> frozenset[str]:
    """The names of every secret that a text, or any text inside lists and mappings, refers to."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return frozenset(_REFERENCE.findall(value)) if "{{" in value else frozenset()
    if isinstance(value, Mapping):
        return frozenset().union(*(references(part) for pair in value.items() for part in pair))
    if isinstance(value, (list, tuple)):
        return frozenset().union(*(references(part) for part in value))
    return frozenset()


def fill(value: Any, values: Mapping[str, str]) -> Any:
    """`value` with each reference replaced, in texts and inside lists and mappings. Raises KeyError for a name without a value.

    What was filled in is not looked at again: a secret that itself reads like a reference stays as it is.
    """
    if isinstance(value, bytes):
        return fill(value.decode("utf-8", "surrogateescape"), values).encode("utf-8", "surrogateescape")
    if isinstance(value, str):
        return _REFERENCE.sub(lambda found: values[found[1]], value) if "{{" in value else value
    if isinstance(value, Mapping):
        return {fill(key, values): fill(part, values) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(fill(part, values) for part in value)
    return value
