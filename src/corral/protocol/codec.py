"""Frozen dataclasses ↔ JSON bytes. Unknown fields are ignored, except those a message lists in `must`.

A field whose name is in `must` has to be understood by the receiver: a receiver that does not know it answers
`rejected: schema` instead of silently running the task without that limit. Names with a dot (`spec.user`) belong to the
executor of the kind, which checks them against the spec keys it knows.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any, Final, TypeVar

from corral.domain.errors import CorralError

T = TypeVar("T")

DEPTH_MAX: Final = 32
"""Levels of lists and objects inside one field: what every encoder we hand it to can write again."""
_ODD: Final = re.compile(rb"\\u[dD][89a-fA-F]|[eE]\+?[0-9]{3}|[0-9]{19}|NaN|Infinity")
"""Lone surrogates, numbers beyond 64 bits and what JSON does not know are only looked for where one of these is."""


class BadMessage(CorralError):
    """Bytes that are not the message they were taken for; goes to the dead letters with its reason."""

    code, http_status = 1001, 400


class NotUnderstood(BadMessage):
    """A message that demands (`must`) a field this side does not know."""


def encode(message: Any) -> bytes:
    """Compact JSON; fields that hold their default are left out."""
    return json.dumps(to_mapping(message), separators=(",", ":"), ensure_ascii=False).encode()


def to_mapping(message: Any) -> dict[str, Any]:
    out = {}
    for name, default in _fields(type(message)).items():
        value = getattr(message, name)
        if value is not default and value != default:
            out[name] = value
    return out


def decode(kind: type[T], data: bytes) -> T:
    """Raises BadMessage naming what is wrong, NotUnderstood for an unknown `must` field."""
    try:
        mapping = json.loads(data)
        if _ODD.search(data):
            _check_plain(data, mapping)
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"cannot read {kind.__name__}: not JSON ({error})"[:200]) from None
    return from_mapping(kind, mapping)


def too_deep(value: Any) -> bool:
    """Whether `value` nests deeper than DEPTH_MAX; never recurses itself."""
    level: list[Any] = [value]
    for _ in range(DEPTH_MAX + 1):
        level = [
            item
            for outer in level
            if isinstance(outer, (dict, list))
            for item in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return False
    return True


def _check_plain(data: bytes, mapping: Any) -> None:
    """Raise ValueError for what no database, JSON encoder or terminal can take further: it would be refused far from here."""
    json.loads(data, parse_int=_int64, parse_float=_finite, parse_constant=_refuse)
    json.dumps(mapping, ensure_ascii=False).encode()


def _int64(text: str) -> int:
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise ValueError("a number beyond 64 bits")
    return number


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number beyond all bounds")
    return number


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def from_mapping(kind: type[T], mapping: Any) -> T:
    if not isinstance(mapping, dict):
        raise BadMessage(f"cannot read {kind.__name__}: expected an object, got {type(mapping).__name__}")
    known = _fields(kind)
    must = mapping.get("must", ())
    if not isinstance(must, (list, tuple)):
        raise BadMessage(f"cannot read {kind.__name__}: expected a list in 'must'")
    for name in must:
        if "." not in str(name) and name not in known:
            raise NotUnderstood(
                f"cannot act on {kind.__name__}: it demands {name!r}, which this version does not know",
                element=str(name),
            )
    try:
        message = kind(**{name: mapping[name] for name in known if name in mapping})
    except TypeError as error:
        raise BadMessage(f"cannot read {kind.__name__}: {error}"[:200]) from None
    for name, expected in _types(kind).items():
        value = getattr(message, name)
        if not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected):
            raise BadMessage(
                f"cannot read {kind.__name__}: expected {expected[0].__name__} in {name!r}, got {str(value)[:40]!r}",
                element=name,
            )
        if isinstance(value, dict) and too_deep(value):
            raise BadMessage(f"cannot read {kind.__name__}: {name!r} nests deeper than {DEPTH_MAX}", element=name)
    return message


_MISSING = object()
_CHECKS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "bool": (bool,),
    "dict": (dict,),
    "list": (list, tuple),
}


_FIELDS: dict[type, dict[str, Any]] = {}
_TYPES: dict[type, dict[str, tuple[type, ...]]] = {}


def _fields(kind: type) -> dict[str, Any]:
    """Field → default, read once per message kind."""
    if kind not in _FIELDS:
        out = {}
        for field in dataclasses.fields(kind):
            default = _MISSING if field.default is dataclasses.MISSING else field.default
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            out[field.name] = default
        _FIELDS[kind] = out
    return _FIELDS[kind]


def _types(kind: type) -> dict[str, tuple[type, ...]]:
    """Field → accepted types, read from the annotations' first word; `X | None` accepts None too."""
    if kind not in _TYPES:
        out = {}
        for field in dataclasses.fields(kind):
            base, _, rest = str(field.type).partition(" | ")
            types = _CHECKS[base.partition("[")[0]]
            out[field.name] = (*types, type(None)) if rest == "None" else types
        _TYPES[kind] = out
    return _TYPES[kind]
