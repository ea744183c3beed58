"""Words of the command line → the params of a task, read as the schema of its kind says.

`name=value`: text where the schema takes text, a number, true, false or JSON where it takes those. `name=@file` takes the file's text
(@- is stdin), `a.b=value` sets what lies inside an object, and a list grows with every mention.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from corral.cli.commands.exec import read_input
from corral.domain.errors import Invalid

Schema = Mapping[str, Any]
_ASSERTION: Final = re.compile(
    r"""\s*(?P<no>!?)\s*(?P<path>\$(?:\.[\w-]+|\[-?\d+\]|\["(?:[^"\\]|\\.)*"\]|\['(?:[^'\\]|\\.)*'\])*)"""
    r"""\s*(?:(?P<op>==|=~|>=|<=|contains\b)\s*(?P<value>\S.*))?\s*\Z""",
    re.DOTALL,
)
_OPERATORS: Final = {"==": "equals", "=~": "matches", ">=": "at_least", "<=": "at_most", "contains": "contains"}


def from_words(pairs: Sequence[str], schema: Schema, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`base` (a params file) with what the words say over it. Raises Invalid naming the word."""
    out = dict(base or {})
    begun: set[str] = set()
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise Invalid(f"cannot read {pair!r}: expected NAME=VALUE", element="param", hint="example: -p unit=nginx")
        _set(out, name, text, schema, begun)
    return out


def from_file(name: str) -> dict[str, Any]:
    """An object from JSON or YAML, by the file's name; stdin is YAML, which JSON is too. Raises Invalid."""
    data = parsed(read_input(name, "params-file"), yaml=not name.endswith(".json"), element="params-file")
    if not isinstance(data, dict):
        raise Invalid(f"cannot read {name!r}: expected an object of params", element="params-file")
    return data


def parsed(data: bytes, *, yaml: bool, element: str) -> Any:
    try:
        if not yaml:
            return json.loads(data)
        reader = importlib.import_module("yaml")  # has no types; loaded only when asked for

        try:
            return _plain(reader.safe_load(data))
        except reader.YAMLError as error:
            raise ValueError(" ".join(str(error).split())) from None
    except (ValueError, RecursionError) as error:
        raise Invalid(f"cannot read the params: {error}", element=element) from None


def assertion(text: str) -> dict[str, Any]:
    """`$.a == 1`, `$.b =~ '^x'`, `$.c >= 2`, `$.d contains "e"`, `$.f` (is there), `!$.g` (is not). Raises Invalid."""
    found = _ASSERTION.match(text)
    if found is None or (found["no"] and found["op"]):
        raise Invalid(
            f"cannot read assertion {text!r}",
            element="assert",
            hint="PATH, !PATH, or PATH and one of == =~ >= <= contains and a value: '$.status == \"up\"'",
        )
    if not found["op"]:
        return {"path": found["path"], "exists": not found["no"]}
    value = _value(found["value"].strip())
    if found["op"] == "=~":
        value = value if isinstance(value, str) else found["value"].strip()
    return {"path": found["path"], _OPERATORS[found["op"]]: value}


def _set(out: dict[str, Any], name: str, text: str, schema: Schema, begun: set[str]) -> None:
    known = schema.get("properties", {})
    head, dot, rest = name.partition(".")
    if name not in known and dot and "object" in _types(known.get(head, {})):
        inside = out.setdefault(head, {})
        if not isinstance(inside, dict):
            raise Invalid(f"cannot set {name!r}: {head!r} has a value already", element=name)
        part = known[head]
        if rest in part.get("properties", {}) or part.get("properties"):
            _set(inside, rest, text, part, begun)
        else:
            more = part.get("additionalProperties")
            inside[rest] = _read(rest, text, more if isinstance(more, Mapping) else {})
        return
    if name not in known and schema.get("additionalProperties") is False:
        raise Invalid(
            f"cannot set {name!r}: there is no such param", element=name, hint=f"known: {', '.join(sorted(known))}"
        )
    value = _read(name, text, known.get(name, {}))
    if _types(known.get(name, {})) == ("array",) and not isinstance(value, list):
        value = [*(out[name] if name in begun else ()), value]
        begun.add(name)
    out[name] = value


def _read(name: str, text: str, schema: Schema) -> Any:
    types = _types(schema)
    source = ""
    if text.startswith("@@"):
        text = text[1:]
    elif text.startswith("@"):
        source = text[1:]
        data = read_input(source, name)
        if types and "string" not in types:
            return parsed(data, yaml=not source.endswith(".json"), element=name)
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise Invalid(f"cannot use {source!r} as {name}: it is no text in UTF-8", element=name) from None
    if types == ("string",) or "{{" in text:
        return text
    if types == ("array",) and not text.startswith("["):
        return _read(name, text, schema.get("items", {}))
    value = _value(text)
    if isinstance(value, str) and types and "string" not in types:
        raise Invalid(f"cannot use {text!r} as {name}: expected {' or '.join(types)}", element=name)
    return value


def _value(text: str) -> Any:
    """What the text says as JSON, or the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _types(schema: Schema) -> tuple[str, ...]:
    found = schema.get("type", ())
    return (found,) if isinstance(found, str) else tuple(found)


def _plain(value: Any) -> Any:
    """YAML knows dates and keys that are no text; a task's params are JSON."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
