"""Durations and sizes as people write and read them. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from corral.domain.errors import Invalid

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES: Final = {"": 1, "b": 1}
_BYTES.update(
    {p: 1000 ** (i + 1) for i, p in enumerate("kmgt")} | {f"{p}b": 1000 ** (i + 1) for i, p in enumerate("kmgt")}
)
_BYTES.update(
    {f"{p}i": 1024 ** (i + 1) for i, p in enumerate("kmgt")} | {f"{p}ib": 1024 ** (i + 1) for i, p in enumerate("kmgt")}
)
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+\Z")
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)\Z")


def parse_duration(text: str, *, element: str = "duration") -> float:
    """`90`, `90s`, `1h`, `1h30m`, `250ms` → seconds."""
    value = text.strip().lower()
    try:
        plain = float(value) if value.replace(".", "", 1).isdigit() else None
    except ValueError:
        plain = None
    if plain is not None:
        return plain
    if _DURATION.match(value) is None:
        raise Invalid(
            f"cannot read {text!r} as a duration: expected a number and a unit (ms, s, m, h, d, w)",
            element=element,
            hint="examples: 90s, 10m, 1h30m",
        )
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(value))


def parse_size(text: str, *, element: str = "size") -> int:
    """`64MiB`, `10kB`, `4096` → bytes. KiB, MiB, GiB count in 1024, kB, MB, GB in 1000."""
    match = _SIZE.match(text.strip())
    unit = match.group(2).lower() if match else None
    if match is None or unit not in _BYTES:
        raise Invalid(
            f"cannot read {text!r} as a size: expected a number and a unit (B, KiB, MiB, GiB, kB, MB, GB)",
            element=element,
            hint="examples: 64MiB, 500kB",
        )
    return int(float(match.group(1)) * _BYTES[unit])


def show_duration(seconds: float | None) -> str:
    """`0.12 s`, `3 s`, `5m`, `1h30m`, `3d4h`: two units at most."""
    if seconds is None:
        return "-"
    seconds = max(0.0, seconds)
    if seconds < 9.95 and seconds != int(seconds):
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    days, rest = divmod(whole, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{n}{u}" for n, u in ((days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")) if n]
    return "".join(parts[:2])


def show_size(count: float | None) -> str:
    """`512 B`, `64 KiB`, `1.5 GiB`."""
    if count is None:
        return "-"
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 or size == int(size) else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def show_ago(moment: datetime | None, now: datetime) -> str:
    """`12 s ago`; `-` for never."""
    if moment is None:
        return "-"
    seconds = (now - moment).total_seconds()
    return f"{show_duration(int(max(0.0, seconds)))} ago" if seconds >= 1 else "now"


def show_time(moment: datetime | None) -> str:
    """Local time with its zone, to the second: what a person compares with the clock on the wall."""
    return "-" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
