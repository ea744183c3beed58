"""How every benchmark ends: JSON for machines, a line for people, and what the machine was."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


def write(result: dict[str, Any], path: str | None) -> None:
    """Write `result` with the machine's description; without a path it goes to standard output."""
    text = json.dumps(result | {"machine": machine()}, indent=2)
    if path is None:
        print(text)
    else:
        Path(path).write_text(text + "\n")
