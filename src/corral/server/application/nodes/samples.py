"""The last hour of each node's metrics, in memory, bounded.

A node's samples lie in columns of doubles: sixty samples of twenty-five values are about 13 kB. A node that sends other names than
before has its columns widened; a value it did not send is absent from that sample.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

KEEP_SECONDS: Final = 3600.0
SAMPLES_MAX: Final = 400
NAMES_MAX: Final = 200
_ABSENT: Final = math.nan


@dataclass(frozen=True, kw_only=True)
class Sample:
    at: float
    values: Mapping[str, float]


class _Series:
    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.times = array("d")
        self.rows = array("d")

    def add(self, at: float, values: Mapping[str, float]) -> None:
        new = [name for name in values if name not in self.names]
        if new and len(self.names) + len(new) <= NAMES_MAX:
            self._widen(tuple(new))
        self.times.append(at)
        self.rows.extend(values.get(name, _ABSENT) for name in self.names)
        self._trim(at)

    def read(self, since: float) -> list[Sample]:
        width = len(self.names)
        out = []
        for row, at in enumerate(self.times):
            if at < since:
                continue
            cells = self.rows[row * width : (row + 1) * width]
            values = {name: value for name, value in zip(self.names, cells, strict=True) if not math.isnan(value)}
            out.append(Sample(at=at, values=values))
        return out

    def _widen(self, new: tuple[str, ...]) -> None:
        width, rows = len(self.names), array("d")
        for row in range(len(self.times)):
            rows.extend(self.rows[row * width : (row + 1) * width])
            rows.extend([_ABSENT] * len(new))
        self.names, self.rows = self.names + new, rows

    def _trim(self, now: float) -> None:
        old = max(0, len(self.times) - SAMPLES_MAX)
        while old < len(self.times) and self.times[old] < now - KEEP_SECONDS:
            old += 1
        if old:
            del self.times[:old]
            del self.rows[: old * len(self.names)]


class Samples:
    """Node → its last hour. Times are the server's: a wrong clock on a node confuses no chart."""

    def __init__(self) -> None:
        self._series: dict[str, _Series] = {}

    def add(self, node: str, at: float, values: Mapping[str, Any]) -> None:
        """Keep the finite numbers of `values`; anything else in it is dropped."""
        numbers = {
            str(name)[:100]: float(value)
            for name, value in list(values.items())[:NAMES_MAX]
            if isinstance(value, (int, float)) and not isinstance(value, bool) and _finite(value)
        }
        series = self._series.get(node)
        if series is None:
            series = self._series[node] = _Series()
        series.add(at, numbers)

    def read(self, node: str, *, since: float = 0.0) -> list[Sample]:
        """Oldest first; empty for a node that sent none."""
        series = self._series.get(node)
        return [] if series is None else series.read(since)

    def latest(self, node: str) -> Sample | None:
        series = self._series.get(node)
        return None if series is None or not series.times else series.read(series.times[-1])[-1]

    def forget(self, node: str) -> None:
        self._series.pop(node, None)


def _finite(value: int | float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
