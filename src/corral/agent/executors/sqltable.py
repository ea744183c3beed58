"""How rows are printed: as a table for people, as JSON or as CSV for programs; one block per statement.

A database's text may hold anything: in a table line ends and control characters are written as escapes and long cells are cut; JSON
and CSV carry values whole.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any, Final

CELL_CHARS: Final = 120
_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns as wide as their widest cell; numbers to the right."""
    cells = [[cell(value) for value in row] for row in rows]
    heads = [cell(name) for name in columns]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    right = [
        bool(rows) and all(value is None or _is_number(value) for value in column)
        for column in (zip(*rows, strict=True) if rows else ((),) * len(heads))
    ]
    lines = [" | ".join(head.ljust(width) for head, width in zip(heads, widths, strict=True)).rstrip()]
    lines.append("-+-".join("-" * width for width in widths))
    for row in cells:
        parts = (
            text.rjust(width) if flush else text.ljust(width)
            for text, width, flush in zip(row, widths, right, strict=True)
        )
        lines.append(" | ".join(parts).rstrip())
    return "\n".join(lines)


def cell(value: Any) -> str:
    """One value on one line, printable, at most CELL_CHARS characters."""
    text = "NULL" if value is None else plain(value)
    text = text if len(text) <= CELL_CHARS else text[: CELL_CHARS - 1] + "…"
    return "".join(c if c.isprintable() else _ESCAPES.get(c, f"\\x{ord(c):02x}") for c in text)


def plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, (bytes, bytearray)):
        return "\\x" + bytes(value).hex()
    return str(value)


def as_json(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """One line: a list of objects. A column name that comes twice gets a number."""
    names = _distinct(columns)
    objects = [dict(zip(names, row, strict=True)) for row in rows]
    return json.dumps(objects, ensure_ascii=False, separators=(",", ":"), default=plain)


def as_csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """RFC 4180 with a header line and line feeds; NULL is an empty field."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[None if value is None else plain(value) for value in row] for row in rows])
    return out.getvalue().rstrip("\n")


def _distinct(columns: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    names = []
    for name in columns:
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return names


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
