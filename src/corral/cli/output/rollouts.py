"""Rollouts as people read them: a lane for each stage, the head, the rows of `rollout list`, and the shape scripts rely on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from corral.cli.output.grouping import count, name_list
from corral.cli.output.table import width
from corral.cli.output.terminal import cell
from corral.cli.output.units import show_ago, show_time
from corral.domain.task import OPEN, TaskState
from corral.sdk.rollouts import Rollout, Stage

BAR: Final = 20
_OPEN: Final = frozenset(state.value for state in OPEN)
JSON_STAGE: Final = ("index", "nodes", "counts", "gate", "started_at", "ended_at")
GREEN: Final = "32"
RED: Final = "31"
YELLOW: Final = "33"


def rollout_shape(rollout: Rollout) -> dict[str, Any]:
    """The shape scripts rely on: these keys, always all of them."""
    stages = [{key: stage.raw.get(key) for key in JSON_STAGE} for stage in rollout.stages]
    return {
        "rollout": rollout.rollout,
        "name": rollout.name,
        "state": rollout.state,
        "stage": rollout.stage,
        "stages": stages,
        "pinned": rollout.pinned,
    }


def done(stage: Stage) -> int:
    return sum(number for state, number in stage.counts.items() if state not in _OPEN)


def verdict(stage: Stage) -> str:
    """One word for where a stage is."""
    if stage.gate in ("passed", "failed", "checking"):
        return stage.gate
    return "running" if stage.counts or stage.job else "waiting"


def lane(stage: Stage, *, name_width: int, columns: int | None) -> str:
    """`2  30%    [######..............] 3/10  running   2 succeeded, 1 failed, 7 queued`."""
    total = len(stage.nodes)
    finished = done(stage)
    bad = sum(n for s, n in stage.counts.items() if s not in _OPEN and s != TaskState.SUCCEEDED.value)
    filled = BAR * finished // total if total else 0
    # What went wrong is the end of the bar: seen without reading, and without colour.
    wrong = min(filled, -(-BAR * bad // total)) if total else 0
    bar = "#" * (filled - wrong) + "!" * wrong + "." * (BAR - filled)
    name = cell(stage.name)[:name_width]
    head = f"{stage.index:>3}  {name}{' ' * (name_width - width(name))}  [{bar}] {f'{finished}/{total}':>9}"
    words = ", ".join(f"{n} {s.replace('_', ' ')}" for s, n in sorted(stage.counts.items(), key=_order) if n)
    text = f"{head}  {verdict(stage):<8}  {words}".rstrip()
    if stage.gate == "failed" and stage.why:
        text += f"  ({cell(stage.why)})"
    return text if columns is None or width(text) < columns else text[: columns - 2] + "…"


def _order(item: tuple[str, int]) -> tuple[bool, bool, str]:
    return item[0] in _OPEN, item[0] != TaskState.SUCCEEDED.value, item[0]


def lanes(rollout: Rollout, *, columns: int | None = None) -> list[str]:
    """The stages, then those of the rollback, one line each."""
    stages = [*rollout.stages, *rollout.rollback]
    name_width = min(24, max((width(cell(stage.name)) for stage in stages), default=0))
    lines = [lane(stage, name_width=name_width, columns=columns) for stage in rollout.stages]
    if rollout.rollback:
        lines.append("back")
        lines += [lane(stage, name_width=name_width, columns=columns) for stage in rollout.rollback]
    return lines


def headline(rollout: Rollout) -> str:
    text = f"{rollout.rollout or 'would be'} ({cell(rollout.name)}): {rollout.state.replace('_', ' ')}"
    return f"{text}: {cell(rollout.reason)}" if rollout.reason else text


def colour(rollout: Rollout) -> str:
    if rollout.succeeded:
        return GREEN
    return RED if rollout.state in ("failed", "rolled_back") or rollout.hold == "failed" else YELLOW


def page(rollout: Rollout, *, columns: int | None, wide: bool) -> str:
    lines = [
        headline(rollout),
        f"  change   {cell(rollout.change)}",
        f"  target   {cell(rollout.target)} ({count(rollout.nodes)}, {cell(rollout.strategy)})",
        f"  created  {show_time(rollout.created_at)} by {cell(rollout.created_by)}",
    ]
    if rollout.finished_at is not None:
        lines.append(f"  ended    {show_time(rollout.finished_at)}")
    if wide:
        lines.append(f"  pinned   {rollout.pinned}")
    lines += ["", *lanes(rollout, columns=columns)]
    if wide:
        stages = [*rollout.stages, *rollout.rollback]
        lines += ["", *(f"{stage.index:>3}  {stage.job or '-'}  {name_list(stage.nodes, 10**6)}" for stage in stages)]
    return "\n".join(lines)


def plan_lines(rollout: Rollout) -> list[str]:
    """What will happen, before it does: stages, who is offline, the labels of the target, what differs from last time."""
    lines = [f"{count(rollout.nodes)} in {len(rollout.stages)} stages: {cell(rollout.change)}"]
    lines += [f"{s.index:>3}  {cell(s.name)}: {count(len(s.nodes))}: {name_list(s.nodes, 8)}" for s in rollout.stages]
    if rollout.offline:
        lines.append(f"{len(rollout.offline)} offline: {name_list(rollout.offline, 10)}")
    for key, values in rollout.labels.items():
        lines.append(f"{cell(key)}: {_values(values)}")
    lines += [cell(line) for line in (rollout.comparison or {}).get("lines", ())]
    return lines


def _values(values: Mapping[str, int]) -> str:
    shown = [f"{cell(value)} {number}" for value, number in list(values.items())[:8]]
    return ", ".join(shown) + (" …" if len(values) > 8 else "")


def rollout_rows(rollouts: Sequence[Rollout], now: datetime) -> list[list[object]]:
    rows: list[list[object]] = []
    for rollout in rollouts:
        stage = f"{rollout.stage}/{len(rollout.stages)}"
        age = show_ago(rollout.created_at, now)
        rows.append([rollout.rollout, rollout.state, stage, rollout.nodes, age, rollout.name, rollout.change])
    return rows


def advice(rollout: Rollout) -> str:
    """The next command to type."""
    id_ = rollout.rollout
    if rollout.hold == "advance":
        return f"go on: corral rollout advance {id_}   back: corral rollout rollback {id_}"
    if rollout.hold == "asked":
        return f"go on: corral rollout resume {id_}"
    if rollout.hold == "failed":
        return f"why: corral why {id_}   after mending it: corral rollout resume {id_}   back: corral rollout rollback {id_}"
    return f"why: corral why {id_}" if rollout.state == "failed" else ""
