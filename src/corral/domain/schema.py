"""Checks a JSON value against the part of JSON Schema (draft 2020-12) that describes an executor's params.

One small checker instead of a library, because the server and an executor's child process on a node must give the same answer
and the node has nothing but Python. Known words: type, properties, required, additionalProperties, enum, const, minimum,
maximum, minLength, maxLength, pattern, items, minItems, maxItems. title, description, default, examples and format tell people
and forms something and decide nothing. A schema with any other word is refused as a whole: half a check is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from corral.domain.errors import Invalid

Schema = Mapping[str, Any]

_DECIDE: Final = frozenset(
    {"type", "properties", "required", "additionalProperties", "enum", "const", "items", "minItems", "maxItems"}
    | {"minimum", "maximum", "minLength", "maxLength", "pattern"}
)
_TELL: Final = frozenset(("title", "description", "default", "examples", "format", "$schema"))
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list, tuple),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_SHOWN_CHARS: Final = 60


def check_schema(schema: Any, where: str = "schema") -> None:
    """Raise Invalid naming the place when `schema` uses what `check` would not enforce."""
    if not isinstance(schema, Mapping):
        raise Invalid(f"cannot use {where}: expected an object, got {_shown(schema)}", element=where)
    unknown = sorted(set(schema) - _DECIDE - _TELL)
    if unknown:
        raise Invalid(
            f"cannot use {where}: {unknown[0]!r} is not supported",
            element=where,
            hint=f"describe the params with {', '.join(sorted(_DECIDE))}",
        )
    for name in _types(schema):
        if name not in _TYPES:
            raise Invalid(f"cannot use {where}: there is no type {name!r}", element=where)
    for name, part in schema.get("properties", {}).items():
        check_schema(part, f"{where}.{name}")
    if isinstance(schema.get("additionalProperties"), Mapping):
        check_schema(schema["additionalProperties"], f"{where}.*")
    if "items" in schema:
        check_schema(schema["items"], f"{where}[]")


def check(schema: Schema, value: Any, element: str = "params") -> None:
    """Raise Invalid naming the field, its value and what was expected."""
    types = _types(schema)
    if types and not any(_is(value, name) for name in types):
        raise _wrong(element, value, " or ".join(types))
    if "enum" in schema and value not in schema["enum"]:
        raise _wrong(element, value, "one of " + ", ".join(map(repr, schema["enum"])))
    if "const" in schema and value != schema["const"]:
        raise _wrong(element, value, repr(schema["const"]))
    if isinstance(value, str):
        _check_text(schema, value, element)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if value < schema.get("minimum", value):
            raise _wrong(element, value, f"at least {schema['minimum']}")
        if value > schema.get("maximum", value):
            raise _wrong(element, value, f"at most {schema['maximum']}")
    elif isinstance(value, Mapping):
        _check_object(schema, value, element)
    elif isinstance(value, (list, tuple)):
        _check_size(schema, len(value), element, "minItems", "maxItems", "items")
        for number, item in enumerate(value):
            check(schema.get("items", {}), item, f"{element}[{number}]")


def with_defaults(schema: Schema, value: Mapping[str, Any]) -> dict[str, Any]:
    """`value` with what the schema's properties give by default; only the first level, where kinds have theirs."""
    given = {name: part["default"] for name, part in schema.get("properties", {}).items() if "default" in part}
    return given | dict(value)


def _check_text(schema: Schema, value: str, element: str) -> None:
    _check_size(schema, len(value), element, "minLength", "maxLength", "characters")
    # the patterns are ours or a plugin's, never a caller's: no need of the linear-time matcher
    if "pattern" in schema and re.search(schema["pattern"], value) is None:
        raise _wrong(element, value, f"a text that matches {schema['pattern']}")


def _check_object(schema: Schema, value: Mapping[str, Any], element: str) -> None:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            expected = properties.get(name, {}).get("description", "it is required")
            raise Invalid(f"cannot use {element}: {name!r} is missing ({expected})", element=f"{element}.{name}")
    more = schema.get("additionalProperties", True)
    for name, item in value.items():
        if name in properties:
            check(properties[name], item, f"{element}.{name}")
        elif more is False:
            raise Invalid(
                f"cannot use {element}: there is no {str(name)[:_SHOWN_CHARS]!r}",
                element=f"{element}.{name}",
                hint=f"known: {', '.join(sorted(properties)) or 'nothing'}",
            )
        elif isinstance(more, Mapping):
            check(more, item, f"{element}.{name}")


def _check_size(schema: Schema, size: int, element: str, low: str, high: str, unit: str) -> None:
    if size < schema.get(low, size):
        raise Invalid(f"cannot use {element}: {size} {unit}, expected at least {schema[low]}", element=element)
    if size > schema.get(high, size):
        raise Invalid(f"cannot use {element}: {size} {unit}, expected at most {schema[high]}", element=element)


def _types(schema: Schema) -> Sequence[str]:
    found = schema.get("type", ())
    return (found,) if isinstance(found, str) else tuple(found)


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[name])


def _wrong(element: str, value: Any, expected: str) -> Invalid:
    return Invalid(f"cannot use {_shown(value)} as {element}: expected {expected}", element=element)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
