"""Frozen dataclasses ↔ JSON bytes. Unknown fields are ignored, except those a message lists in `must`.

A field whose name is in `must` has to be understood by the receiver: a receiver that does not know it answers
`rejected: schema` instead of silently running the task without that limit. Names with a dot (`spec.user`) belong to the
executor of the kind, which checks them against the spec keys it knows.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, TypeVar

from corral.domain.errors import CorralError

T = TypeVar("T")


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
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"cannot read {kind.__name__}: not JSON ({error})"[:200]) from None
    return from_mapping(kind, mapping)


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
