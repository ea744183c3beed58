"""As many rows as a task's result can hold. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

ROWS_BYTES: Final = 40 << 10
"""Of the 64 KiB a result may be; the rest is for what is said beside the rows."""


def fitting(rows: Sequence[Any]) -> list[Any]:
    """The first of them, written as a result is written."""
    kept, size = list[Any](), 0
    for row in rows:
        size += len(json.dumps(row, separators=(",", ":"), default=str)) + 1
        if size > ROWS_BYTES:
            break
        kept.append(row)
    return kept
