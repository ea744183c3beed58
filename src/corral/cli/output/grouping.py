"""Identical results folded together: "981 nodes: OK", "17 nodes: FAILED exit 1". Pure; what a person reads after a job.

Groups come in the order success, still open, everything else, so that what needs attention is nearest to the prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from corral.cli.output.files import change, digests
from corral.cli.output.terminal import cell, clean
from corral.cli.output.units import show_duration
from corral.domain.output import Result, group_results
from corral.domain.task import Reason, TaskState
from corral.sdk.models import Task

NAMES_SHOWN: Final = 8
LINES_SHOWN: Final = 20
_ORDER: Final = {TaskState.SUCCEEDED.value: 0, "running": 1, "delivered": 1, "queued": 2}


@dataclass(frozen=True)
class Group:
    """Nodes with the same result. `stdout`/`stderr` are what they all printed ('' when nothing, or not to be repeated).

    `note`: old and new digest of a file, where they all have the same.
    """

    nodes: tuple[str, ...]
    task: Task
    stdout: str
    stderr: str
    seconds: tuple[float, float] | None
    note: str = ""


def group(
    tasks: Iterable[Task], output: Mapping[str, tuple[str, str]] | None = None, *, by_output: bool = True
) -> list[Group]:
    """Fold by state, exit code, signal, reason and, `by_output`, the text. `output` is node → (stdout, stderr)."""
    known = {task.node: task for task in tasks}
    results = []
    for task in known.values():
        texts = (output or {}).get(task.node, (task.stdout or "", task.stderr or ""))
        stdout, stderr = texts if by_output or not task.succeeded else ("", "")
        results.append(
            Result(
                node=task.node,
                state=task.state,
                reason=task.detail or task.reason or change(task),
                exit_code=task.exit_code,
                signal=task.signal,
                stdout=stdout,
                stderr=stderr,
            )
        )
    groups = []
    for found in group_results(results):
        times = [known[node].seconds for node in found.nodes]
        spent = [seconds for seconds in times if seconds is not None]
        notes = {digests(known[node]) for node in found.nodes}
        groups.append(
            Group(
                nodes=found.nodes,
                task=known[found.sample.node],
                stdout=found.sample.stdout,
                stderr=found.sample.stderr,
                seconds=(min(spent), max(spent)) if spent else None,
                note=notes.pop() if len(notes) == 1 else "",
            )
        )
    return sorted(groups, key=lambda g: _ORDER.get(g.task.state, 3))


def verdict(task: Task) -> str:
    """One state in words: OK (of a file: changed, unchanged), FAILED exit 2, TIMED OUT, OFFLINE (queued), …"""
    if task.succeeded:
        return change(task) or "OK"
    if task.waits_for_node:
        return "OFFLINE, still queued"
    if task.reason == Reason.OFFLINE_SKIPPED:
        return "OFFLINE, skipped"
    words = task.state.replace("_", " ").upper()
    if task.state == TaskState.FAILED:
        if task.signal is not None:
            return f"{words} by signal {task.signal}"
        if task.exit_code is not None:
            return f"{words} exit {task.exit_code}"
    return words


def count(number: int, noun: str = "node") -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def name_list(nodes: Sequence[str], shown: int = NAMES_SHOWN) -> str:
    """`a, b, c … and 14 more`."""
    head = ", ".join(cell(node) for node in nodes[:shown])
    return head if len(nodes) <= shown else f"{head} … and {len(nodes) - shown} more"


def headline(item: Group) -> str:
    """`17 nodes: FAILED exit 1 (web-1, web-2) in 0.2-0.4 s: why`."""
    task = item.task
    text = f"{count(len(item.nodes))}: {verdict(task)}"
    if item.note:
        text += f" {item.note}"
    if not task.succeeded or len(item.nodes) <= NAMES_SHOWN:
        text += f" ({name_list(item.nodes)})"
    if item.seconds is not None:
        low, high = (show_duration(value) for value in item.seconds)
        text += f" in {low}" if low == high else f" in {low} to {high}"
    said = task.waits_for_node or task.state == TaskState.FAILED or task.reason == Reason.OFFLINE_SKIPPED
    why = task.detail or ("" if said else task.reason_text)
    if why and not task.succeeded:
        text += f": {cell(why)}"
    if task.truncated:
        text += " (output truncated)"
    return text


def body(item: Group, *, colour: bool, lines_shown: int = LINES_SHOWN) -> list[str]:
    """The text of a group, indented; the last lines when there are many."""
    lines = [clean(line, colour=colour) for part in (item.stdout, item.stderr) for line in split(part)]
    cut = len(lines) - lines_shown
    out = [f"    {line}" for line in lines[-lines_shown:]]
    return [f"    … {count(cut, 'line')} before", *out] if cut > 0 else out


def split(text: str) -> list[str]:
    """Lines by LF alone: other separators of Unicode are content, and `clean` makes them visible."""
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []
