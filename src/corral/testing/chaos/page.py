"""The table of docs/reliability.md from histories: `python -m corral.testing.chaos.page HISTORY.json…` (later files win)."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

HEAD: Final = "| fault | asked | run | seed | result | date |\n|---|---|---|---|---|---|"


def rows(histories: Sequence[Mapping[str, Any]]) -> str:
    """One row a fault and scale, in the order of their first appearance."""
    last: dict[tuple[str, str], Mapping[str, Any]] = {}
    for history in histories:
        for record in history["faults"]:
            last[record["fault"], record["scale"]] = record
    return "\n".join([HEAD, *(_row(record) for record in last.values())])


def _row(record: Mapping[str, Any]) -> str:
    verdict = "held" if record["ok"] else "**BROKEN**"
    figures = "; ".join(f"{name} {_short(value)}" for name, value in record["figures"].items())
    return (
        f"| {record['fault']} {record['title']} | {record['asked']} | {record['ran']} | {record['seed']}"
        f" | {verdict}: {figures} | {record['at'][:10]} |"
    )


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return "/".join(map(_short, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def main(words: Sequence[str]) -> int:
    print(rows([json.loads(Path(word).read_bytes()) for word in words]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
