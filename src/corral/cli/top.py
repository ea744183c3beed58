"""`node top`: the newest sample of every node as a table, once or again and again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from corral.cli import exits
from corral.cli.output.table import render
from corral.cli.output.units import show_ago
from corral.cli.session import Session, is_terminal
from corral.sdk.models import parse_time

if TYPE_CHECKING:
    from corral.sdk.fleet import Fleet

NODES_MAX: Final = 200
AT_ONCE: Final = 8
_FIRST: Final = ("cpu_percent", "mem_percent", "load1")
_NAMES: Final = {"cpu_percent": "CPU %", "mem_percent": "MEM %", "load1": "LOAD"}


async def show_top(session: Session, nodes: tuple[str, ...], target: str | None, interval: float | None) -> int:
    try:
        async with session.connect() as fleet:
            while True:
                names = list(nodes) or [node.id for node in await fleet.nodes.list(target, presence="online")]
                if len(names) > NODES_MAX:
                    session.note(f"showing {NODES_MAX} of {len(names)} nodes; -t narrows it down")
                samples = await newest(fleet, names[:NODES_MAX])
                if interval is not None and is_terminal(sys.stdout):
                    sys.stdout.write("\x1b[H\x1b[2J")
                session.show(
                    [{"id": name, **sample} for name, sample in samples.items()],
                    names=list(samples),
                    table=lambda wide, samples=samples: _table(session, samples, wide=wide),  # type: ignore[misc]  # bound now
                )
                if interval is None:
                    return exits.OK
                sys.stdout.flush()
                await session.clock.sleep(max(0.5, interval))
    except asyncio.CancelledError:
        return exits.OK if interval is not None else exits.DETACHED


async def newest(fleet: Fleet, names: list[str]) -> dict[str, Mapping[str, Any]]:
    """Node → its newest sample ({} when there is none yet)."""
    found: dict[str, Mapping[str, Any]] = {name: {} for name in names}
    queue = list(reversed(names))

    async def work() -> None:
        while queue:
            name = queue.pop()
            samples = await fleet.nodes.metrics(name)
            with suppress(IndexError):
                found[name] = samples[-1]

    async with asyncio.TaskGroup() as group:
        for _ in range(min(AT_ONCE, len(names))):
            group.create_task(work())
    return found


def _table(session: Session, samples: Mapping[str, Mapping[str, Any]], *, wide: bool) -> str:
    if not samples:
        return "no nodes online"
    keys = sorted({key for sample in samples.values() for key in sample.get("values") or {}})
    first = [key for key in _FIRST if key in keys]
    rest = [key for key in keys if key not in first]
    shown = first + (rest if wide else [key for key in rest if key.startswith(("disk./", "tasks"))][:2])
    now = session.clock.now()
    rows: list[list[object]] = []
    for name, sample in samples.items():
        values = sample.get("values") or {}
        cells = [_number(values.get(key)) for key in shown]
        rows.append([name, *cells, show_ago(_when(sample.get("at")), now)])
    return render(["NODE", *(_heading(key) for key in shown), "SAMPLED"], rows, columns=session.columns())


def _heading(key: str) -> str:
    """`disk./` → `DISK / %`."""
    return _NAMES.get(key) or (f"DISK {key[5:]} %" if key.startswith("disk./") else key.upper())


def _when(at: object) -> datetime | None:
    """Epoch seconds, or a time as text."""
    return datetime.fromtimestamp(at, UTC) if isinstance(at, (int, float)) else parse_time(at)


def _number(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) < 1000 else f"{value:.0f}"
    return value
