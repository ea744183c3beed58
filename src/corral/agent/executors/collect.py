"""The child that asks every collector: entry points of group `corral.collectors`, each a function that returns names and numbers.

    def sample() -> dict[str, float]:
        return {"queue": len(os.listdir("/var/spool/app"))}

becomes the sample `app.queue` when the entry point is called `app`. One that raises is said on stderr and costs only its own values.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any, Final

from corral.domain.executors.contract import RESULT_VARIABLE

GROUP: Final = "corral.collectors"
VALUES_MAX: Final = 100
"""Of one collector."""


def gather() -> dict[str, float]:
    values: dict[str, float] = {}
    for point in metadata.entry_points(group=GROUP):
        try:
            values |= numbers(point.name, point.load()())
        except Exception as error:
            sys.stderr.write(f"cannot collect {point.name!r} ({point.value}): {error}\n")
    return values


def numbers(name: str, found: Any) -> dict[str, float]:
    """`found` under the collector's name; what is no finite number is left out."""
    if not isinstance(found, Mapping):
        raise TypeError(f"expected names and numbers, got {type(found).__name__}")
    kept = {
        f"{name}.{key}": value
        for key, value in found.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    }
    return dict(list(kept.items())[:VALUES_MAX])


def main() -> None:
    text = json.dumps(gather(), separators=(",", ":"))
    path = os.environ.get(RESULT_VARIABLE)
    if path is None:
        sys.stdout.write(text + "\n")
        return
    with open(f"{path}.new", "w") as file:
        file.write(text)
    os.replace(f"{path}.new", path)


if __name__ == "__main__":
    main()
