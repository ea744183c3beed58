"""What the Kubernetes API answers, for people: the table the API makes itself, and JSON without what Secrets hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

HIDDEN: Final = "(hidden)"
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


def as_rows(answer: Mapping[str, Any], *, with_namespace: bool) -> tuple[list[str], list[str]]:
    """The lines of a table, and `namespace/name` of each object (`name` when all are in one)."""
    if answer.get("kind") != "Table":
        items = answer.get("items") if isinstance(answer.get("items"), list) else [answer]
        metas = [item.get("metadata", {}) for item in items or ()]
        rows = [[str(meta.get("name", ""))] for meta in metas]
        return _table(["NAME"], rows, metas, with_namespace)
    columns = [
        (at, column) for at, column in enumerate(answer.get("columnDefinitions", ())) if not column.get("priority")
    ]
    found = answer.get("rows") or ()
    rows = [[_cell(row["cells"][at]) for at, _ in columns] for row in found]
    metas = [(row.get("object") or {}).get("metadata", {}) for row in found]
    return _table([column["name"].upper() for _, column in columns], rows, metas, with_namespace)


def as_json(answer: Mapping[str, Any], *, secrets: bool) -> str:
    """`secrets`: the data of Secrets too."""
    items = answer.get("items")
    shown = (
        [_without(item, secrets, str(answer.get("kind", ""))) for item in items]
        if isinstance(items, list)
        else _without(answer, secrets)
    )
    return json.dumps(shown, indent=2)


def _without(item: Mapping[str, Any], secrets: bool, listed: str = "") -> dict[str, Any]:
    meta = {name: value for name, value in item.get("metadata", {}).items() if name != "managedFields"}
    out = {**item, "metadata": meta}
    if secrets or (item.get("kind") or listed.removesuffix("List")) != "Secret":
        return out
    for part in ("data", "stringData"):
        if isinstance(out.get(part), dict):
            out[part] = dict.fromkeys(out[part], HIDDEN)
    if _LAST_APPLIED in (meta.get("annotations") or {}):
        meta["annotations"] = {**meta["annotations"], _LAST_APPLIED: HIDDEN}
    return out


def _table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], metas: Sequence[Mapping[str, Any]], with_namespace: bool
) -> tuple[list[str], list[str]]:
    names = [str(meta.get("name", "")) for meta in metas]
    if with_namespace:
        spaces = [str(meta.get("namespace", "")) for meta in metas]
        headers, rows = ["NAMESPACE", *headers], [[space, *row] for space, row in zip(spaces, rows, strict=True)]
        names = [f"{space}/{name}" if space else name for space, name in zip(spaces, names, strict=True)]
    if not rows:
        return [], []
    lines = [list(headers), *map(list, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(headers))]
    return [
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    ], names


def _cell(value: Any) -> str:
    return "<none>" if value is None or value == "" else str(value)
