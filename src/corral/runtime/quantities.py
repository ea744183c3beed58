"""Sizes and durations as people write them: "64MiB", "10 MB", "1h30m", "500ms". One parser for files, environment and flags."""

from __future__ import annotations

import re
from typing import Final

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?b?)\Z", re.IGNORECASE | re.ASCII)
_SIZE_UNITS: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", re.ASCII)
_DURATION_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_MAX_CHARACTERS: Final = 40

SIZE_EXPECTED: Final = "a size such as 1048576, 64MiB or 10GB"
DURATION_EXPECTED: Final = "a duration such as 90, 500ms, 5m or 1h30m"


def parse_size(text: str) -> int:
    """Bytes. KiB is 1024, KB is 1000, no unit is bytes. Raises ValueError saying what was expected."""
    match = _SIZE.match(text.strip()) if len(text) <= _MAX_CHARACTERS else None
    unit = None if match is None else _SIZE_UNITS.get(match[2].lower())
    if match is None or unit is None:
        raise ValueError(f"expected {SIZE_EXPECTED}")
    return round(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit


def parse_duration(text: str) -> float:
    """Seconds. Units ms, s, m, h, d, w, largest first, may be combined; no unit is seconds. Raises ValueError."""
    text = text.strip()
    if len(text) <= _MAX_CHARACTERS:
        if re.fullmatch(r"\d+(?:\.\d+)?", text, re.ASCII):
            return float(text)
        parts = _DURATION_PART.findall(text)
        units = [_DURATION_UNITS[unit] for _, unit in parts]
        whole = "".join(number + unit for number, unit in parts) == text
        if parts and whole and units == sorted(set(units), reverse=True):
            return sum(float(number) * unit for (number, _), unit in zip(parts, units, strict=True))
    raise ValueError(f"expected {DURATION_EXPECTED}")
