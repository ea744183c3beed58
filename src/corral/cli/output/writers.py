"""The five output formats. json and yaml print REST's `data` unwrapped; name prints one id a line, for xargs."""

from __future__ import annotations

import importlib
import json
from typing import Any, Final

FORMATS: Final = ("table", "wide", "json", "yaml", "name")


def as_json(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False)


def as_yaml(data: Any) -> str:
    yaml = importlib.import_module("yaml")  # has no types; loaded only when asked for
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120)
    return text.rstrip("\n")


def machine(data: Any, format: str) -> str:
    """`data` in a machine format; `data` is plain JSON types."""
    return as_yaml(data) if format == "yaml" else as_json(data)
