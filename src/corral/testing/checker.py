"""The judge after a fault run, in the manner of Jepsen's set checkers: what was attempted, acknowledged, executed and ended.

Invariants (faults catalogue): I1 every accepted task ends in exactly one terminal state; I2 at most one execution per attempt,
counted by an append-only log the commands write; I3 `succeeded` means the log has it; I4 nothing acknowledged is missing. Run it
after quiescence: everything is open otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from corral.domain.task import TERMINAL, TaskState

Key = tuple[str, str]
"""(job, node)"""


@dataclass(frozen=True, kw_only=True)
class History:
    """`acked`: tasks of jobs whose submission returned. `attempted`: those, and of submissions that broke off.

    `executed`: one (job, node, attempt) per line of the execution log. `terminal`: the state each task is in now.
    """

    attempted: frozenset[Key]
    acked: frozenset[Key]
    executed: tuple[tuple[str, str, int], ...]
    states: Mapping[Key, TaskState]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    lost: tuple[Key, ...] = ()
    unsettled: tuple[Key, ...] = ()
    duplicates: tuple[tuple[str, str, int], ...] = ()
    phantoms: tuple[Key, ...] = ()
    unproven: tuple[Key, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not (self.lost or self.unsettled or self.duplicates or self.phantoms or self.unproven)

    def __str__(self) -> str:
        parts = [f"{name} {count}" for name, count in sorted(self.counts.items())]
        for name in ("lost", "unsettled", "duplicates", "phantoms", "unproven"):
            found = getattr(self, name)
            if found:
                parts.append(f"{name.upper()} {len(found)}: {', '.join('/'.join(map(str, key)) for key in found[:5])}")
        return ("ok: " if self.ok else "BROKEN: ") + ", ".join(parts)


def check(history: History) -> Verdict:
    runs = Counter(history.executed)
    executed = {(job, node) for job, node, _ in runs}
    return Verdict(
        lost=_sorted(key for key in history.acked if key not in history.states),
        unsettled=_sorted(key for key, state in history.states.items() if state not in TERMINAL),
        duplicates=tuple(sorted(run for run, count in runs.items() if count > 1)),
        phantoms=_sorted(key for key in executed if key not in history.attempted and key not in history.states),
        unproven=_sorted(
            key for key, state in history.states.items() if state is TaskState.SUCCEEDED and key not in executed
        ),
        counts=Counter(state.value for state in history.states.values()) | {"executed": len(history.executed)},
    )


def parse_log(lines: Iterable[str]) -> tuple[tuple[str, str, int], ...]:
    """Lines `<node>.<job>.<attempt>`, which is what $CORRAL_TASK holds in every task."""
    out = []
    for line in lines:
        node, job, attempt = line.strip().split(".")
        out.append((job, node, int(attempt)))
    return tuple(out)


def _sorted(keys: Iterable[Key]) -> tuple[Key, ...]:
    return tuple(sorted(keys))
