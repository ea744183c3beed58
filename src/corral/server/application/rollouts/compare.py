"""What is different from the last rollout of the same name: shown before anything happens. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corral.domain.rollout_state import OPEN, Rollout, counted, named


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`lines` are sentences for people; empty lists mean that nothing is different there."""

    previous: str
    added: Sequence[str]
    removed: Sequence[str]
    lines: Sequence[str]


def compare(previous: Rollout, rollout: Rollout) -> Comparison:
    before, now = set(previous.nodes), set(rollout.nodes)
    added, removed = sorted(now - before), sorted(before - now)
    state = previous.state.value.replace("_", " ")
    lines = [f"The last one of this name, {previous.id}, {'is' if previous.state in OPEN else 'ended as'} {state}."]
    if added:
        lines.append(f"New ({counted(len(added))}): {named(added)}.")
    if removed:
        lines.append(f"Not in it any more ({counted(len(removed))}): {named(removed)}.")
    for word, old, new in (
        ("change", previous.line, rollout.line),
        ("strategy", previous.strategy, rollout.strategy),
        ("target", previous.target, rollout.target),
    ):
        if old != new:
            lines.append(f"The {word} was {old!r} and is {new!r}.")
    if len(lines) == 1:
        lines.append("Nodes, change and strategy are the same.")
    return Comparison(previous=previous.id, added=added, removed=removed, lines=lines)
