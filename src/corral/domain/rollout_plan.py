"""Which nodes go in which stage: a strategy applied to the resolved, sorted target. Pure; the same input gives the same stages.

Every node is in exactly one stage, no stage is empty, and what a strategy leaves over forms a last stage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from corral.domain.errors import Invalid
from corral.domain.rollout_state import Stage, counted

STAGES_MAX: Final = 200
REST: Final = "the rest"


class StrategyKind(StrEnum):
    PERCENTAGE = "percentage"
    COUNT = "count"
    GROUPS = "groups"
    SELECTORS = "selectors"


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """`values`: shares of all nodes, cumulative (percentage); nodes per stage, 0 = all the rest (count); one label (groups);
    a selector for each stage (selectors)."""

    kind: StrategyKind
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind.value}:{','.join(self.values)}"


def parse_strategy(text: str) -> Strategy:
    """`percentage:10,30,100`, `count:2,5,0`, `groups:rack`; raises Invalid."""
    word, colon, rest = text.partition(":")
    kinds = {kind.value: kind for kind in StrategyKind if kind is not StrategyKind.SELECTORS}
    if not colon or word.strip() not in kinds:
        raise _bad(text, "expected percentage:…, count:… or groups:LABEL")
    return Strategy(kind=kinds[word.strip()], values=tuple(part.strip() for part in rest.split(",")))


def plan(
    strategy: Strategy,
    nodes: Sequence[str],
    *,
    labels: Callable[[str], Mapping[str, str]],
    resolve: Callable[[str], Collection[str]],
) -> tuple[Stage, ...]:
    """The stages. `labels` and `resolve` are asked only by the strategies that need them. Raises Invalid, BadSelector."""
    makers: dict[StrategyKind, Callable[[], Iterable[tuple[str, Sequence[str]]]]] = {
        StrategyKind.PERCENTAGE: lambda: _by_percentage(strategy, nodes),
        StrategyKind.COUNT: lambda: _by_count(strategy, nodes),
        StrategyKind.GROUPS: lambda: _by_label(strategy, nodes, labels),
        StrategyKind.SELECTORS: lambda: _by_selector(strategy, nodes, resolve),
    }
    parts = [(name, tuple(part)) for name, part in makers[strategy.kind]()]
    placed = {node for _, part in parts for node in part}
    parts.append((REST, tuple(node for node in nodes if node not in placed)))
    stages = tuple(Stage(name=name, nodes=part) for name, part in parts if part)
    if len(stages) > STAGES_MAX:
        raise _bad(str(strategy), f"it makes {len(stages)} stages, at most {STAGES_MAX} make sense")
    return stages


def _by_percentage(strategy: Strategy, nodes: Sequence[str]) -> Iterable[tuple[str, Sequence[str]]]:
    start, last = 0, 0.0
    for text in strategy.values:
        share = _number(strategy, text)
        if not last < share <= 100:
            raise _bad(str(strategy), f"shares grow from stage to stage up to 100, {text!r} does not")
        last = share
        end = math.ceil(len(nodes) * share / 100 - 1e-9)
        yield f"{share:g}%", nodes[start:end]
        start = max(start, end)


def _by_count(strategy: Strategy, nodes: Sequence[str]) -> Iterable[tuple[str, Sequence[str]]]:
    start = 0
    for position, text in enumerate(strategy.values):
        count = _number(strategy, text)
        if count != int(count):
            raise _bad(str(strategy), f"{text!r} is no number of nodes")
        if count == 0 and position != len(strategy.values) - 1:
            raise _bad(str(strategy), "0 means all the rest and can only be the last")
        end = start + int(count) if count else len(nodes)
        yield (counted(int(count)) if count else REST), nodes[start:end]
        start = end


def _by_label(
    strategy: Strategy, nodes: Sequence[str], labels: Callable[[str], Mapping[str, str]]
) -> Iterable[tuple[str, Sequence[str]]]:
    if len(strategy.values) != 1 or not strategy.values[0]:
        raise _bad(str(strategy), "expected one label")
    key = strategy.values[0]
    found: dict[str, list[str]] = {}
    for node in nodes:
        value = labels(node).get(key)
        if value is not None:
            found.setdefault(value, []).append(node)
    if not found:
        raise _bad(str(strategy), f"no node of the target has the label {key!r}")
    return [(f"{key}={value}", found[value]) for value in sorted(found)]


def _by_selector(
    strategy: Strategy, nodes: Sequence[str], resolve: Callable[[str], Collection[str]]
) -> Iterable[tuple[str, Sequence[str]]]:
    """A node goes in the first stage that selects it."""
    left = list(nodes)
    for selector in strategy.values:
        chosen = set(resolve(selector))
        part = [node for node in left if node in chosen]
        if not part:
            raise Invalid(
                f"cannot make a stage of {selector!r}: it selects no node of the target that is left",
                element="strategy",
                hint="corral node list -t SELECTOR shows what it picks",
            )
        yield selector, part
        left = [node for node in left if node not in chosen]


def _number(strategy: Strategy, text: str) -> float:
    try:
        number = float(text.removesuffix("%") if strategy.kind is StrategyKind.PERCENTAGE else text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1_000_000:
        raise _bad(str(strategy), f"{text!r} is no number")
    return number


def _bad(text: str, why: str) -> Invalid:
    return Invalid(
        f"cannot use {text[:80]!r} as a strategy: {why}",
        element="strategy",
        hint="for example percentage:10,30,60,100 or count:2,5,10,0 or groups:rack, or --stage SELECTOR for each stage",
    )
