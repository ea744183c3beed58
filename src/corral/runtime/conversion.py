"""How a setting's text or TOML value becomes what its field is typed as. Every refusal is a ValueError that says what was expected."""

from __future__ import annotations

import enum
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin

from corral.runtime.quantities import DURATION_EXPECTED, SIZE_EXPECTED, parse_duration, parse_size
from corral.runtime.secret import Secret

_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})


def convert(kind: Any, name: str, value: Any, rules: Mapping[str, Any]) -> Any:
    """`value` as `kind`; `name` tells units (`_bytes`, `_seconds`); `rules` may hold min, max, choices."""
    kind, optional = _unwrap(kind)
    if optional and (value is None or value == ""):
        return None
    made = _plain(kind, name, value)
    _check(made, rules)
    return made


def expected(kind: Any, name: str, rules: Mapping[str, Any]) -> str:
    """The words for an error's hint: what this setting takes."""
    kind, _ = _unwrap(kind)
    choices = rules.get("choices") or (get_args(kind) if get_origin(kind) is Literal else None)
    if choices:
        return "one of " + ", ".join(str(choice) for choice in choices)
    text = _words(kind, name)
    low, high = rules.get("min"), rules.get("max")
    if low is not None and high is not None:
        return f"{text} from {low} to {high}"
    if low is not None:
        return f"{text}, at least {low}"
    return text if high is None else f"{text}, at most {high}"


def _words(kind: Any, name: str) -> str:
    if kind is bool:
        return "true or false"
    if kind in (int, float) and name.endswith("_bytes"):
        return SIZE_EXPECTED
    if kind in (int, float) and name.endswith("_seconds"):
        return DURATION_EXPECTED
    if kind is int:
        return "a whole number"
    if kind is float:
        return "a number"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "one of " + ", ".join(str(member.value) for member in kind)
    if get_origin(kind) in (list, tuple):
        return "a list of texts (in the environment: separated by commas)"
    return "a path" if kind is Path else "a text"


def _unwrap(kind: Any) -> tuple[Any, bool]:
    if get_origin(kind) in (Union, types.UnionType):
        inner = [part for part in get_args(kind) if part is not type(None)]
        return inner[0], True
    return kind, False


def _plain(kind: Any, name: str, value: Any) -> Any:
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"expected {expected(kind, name, {})}")
        return value
    if get_origin(kind) in (list, tuple):
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
            raise ValueError(f"expected {_words(kind, name)}")
        return get_origin(kind)(item.strip() for item in items if item.strip())
    if kind is bool:
        return _boolean(value)
    if kind in (int, float):
        return _number(kind, name, value)
    return _text(kind, name, value)


def _text(kind: Any, name: str, value: Any) -> Any:
    if kind is Path and isinstance(value, Path):
        return value
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"expected {_words(kind, name)}")
    if kind is Path:
        if not value:
            raise ValueError("expected a path")
        return Path(value).expanduser()
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        try:
            return kind(value)
        except ValueError:
            raise ValueError(f"expected {_words(kind, name)}") from None
    return kind(value) if kind is str or issubclass(kind, Secret) else value


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError("expected true or false")


def _number(kind: Any, name: str, value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"expected {_words(kind, name)}")
    if isinstance(value, str):
        if name.endswith("_bytes"):
            return kind(parse_size(value))
        if name.endswith("_seconds"):
            value = parse_duration(value)
        else:
            try:
                value = int(value) if kind is int else float(value)
            except ValueError:
                raise ValueError(f"expected {_words(kind, name)}") from None
    if not isinstance(value, int | float) or value != value or value in (float("inf"), float("-inf")):
        raise ValueError(f"expected {_words(kind, name)}")
    if kind is int and value != int(value):
        raise ValueError(f"expected {_words(kind, name)}")
    return kind(value)


def _check(made: Any, rules: Mapping[str, Any]) -> None:
    low, high, choices = rules.get("min"), rules.get("max"), rules.get("choices")
    if choices and made not in choices:
        raise ValueError("expected one of " + ", ".join(str(choice) for choice in choices))
    if low is not None and made < low:
        raise ValueError(f"expected at least {low}")
    if high is not None and made > high:
        raise ValueError(f"expected at most {high}")
