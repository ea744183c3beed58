"""What the world says about a rollout's jobs at one moment, and how that is counted against its tolerance. Pure.

A task counts as failed when it ended without success, as unreachable when its node never got it or was gone. A task that is still
open when the stage has to be judged is unreachable if its node is offline, else failed (too slow).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from corral.domain.rollout_state import Rollout, Stage
from corral.domain.task import OPEN, TaskState

_UNREACHED: Final = frozenset({TaskState.EXPIRED, TaskState.LOST})
_UNTOUCHED: Final = frozenset({TaskState.EXPIRED, TaskState.REJECTED, TaskState.CANCELLED})


@dataclass(frozen=True, slots=True)
class TaskFact:
    """One node's task. `started`: it began on the node, as far as the server has heard (late results included).

    `changed`: what the task itself says of its node (file tasks); None when it says nothing.
    """

    state: TaskState
    online: bool = True
    started: bool = False
    cancel_asked: bool = False
    changed: bool | None = None

    @property
    def open(self) -> bool:
        return self.state in OPEN

    @property
    def waits_for_node(self) -> bool:
        return self.state is TaskState.QUEUED and not self.online

    @property
    def touched(self) -> bool:
        """Whether the change may have reached the node: also while it is open, as a node may have what it was sent."""
        if self.changed is not None and not self.open:
            return self.changed
        return self.started or self.state not in _UNTOUCHED


@dataclass(frozen=True, kw_only=True)
class JobFact:
    """A job of the rollout that exists, whether or not the rollout has recorded it."""

    id: str
    created_at: datetime
    tasks: Mapping[str, TaskFact]
    awaiting: bool = False
    """Somebody has to approve it first: nothing of it is out, and no time runs."""
    approved_at: datetime | None = None

    @property
    def open(self) -> list[str]:
        return [node for node, task in self.tasks.items() if task.open]

    @property
    def uncancelled(self) -> list[str]:
        """Open tasks nobody has asked to stop."""
        return [node for node, task in self.tasks.items() if task.open and not task.cancel_asked]


@dataclass(frozen=True, slots=True)
class ProbeFact:
    """How an HTTP probe ended."""

    passed: bool
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """`jobs`: operation → job. `probes`: (stage, gate, round) → ended probe. `offline`: those of the rollout's nodes.

    `settling`: this server has just begun to drive, its nodes may still be on their way back: nobody is judged by absence yet.
    """

    jobs: Mapping[str, JobFact] = field(default_factory=dict)
    probes: Mapping[tuple[int, int, int], ProbeFact] = field(default_factory=dict)
    offline: frozenset[str] = frozenset()
    settling: bool = False


@dataclass(frozen=True, kw_only=True)
class Tally:
    """The nodes of a stage by what became of them."""

    succeeded: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()
    open: tuple[str, ...] = ()


def tally(job: JobFact, *, judged: bool) -> Tally:
    """`judged`: nothing is waited for any more, so that open tasks count too."""
    found: dict[str, list[str]] = {"succeeded": [], "failed": [], "unreachable": [], "open": []}
    for node, task in job.tasks.items():
        if task.state is TaskState.SUCCEEDED:
            kind = "succeeded"
        elif task.state in _UNREACHED:
            kind = "unreachable"
        elif not task.open:
            kind = "failed"
        elif not judged:
            kind = "open"
        else:
            kind = "failed" if task.online else "unreachable"
        found[kind].append(node)
    return Tally(**{kind: tuple(sorted(nodes)) for kind, nodes in found.items()})


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What earlier stages have used up of the tolerance for the whole rollout."""

    failed: int = 0
    unreachable: int = 0


def spent(before: list[JobFact]) -> Spent:
    tallies = [tally(job, judged=True) for job in before]
    return Spent(
        failed=sum(len(t.failed) for t in tallies),
        unreachable=sum(len(t.unreachable) for t in tallies),
    )


def beyond(rollout: Rollout, stage: Stage, found: Tally, before: Spent) -> str:
    """Which limit is exceeded, in words; empty when none is."""
    whole = sum(len(each.nodes) for each in rollout.stages)
    rows = (
        ("failed", rollout.settings.max_failed, len(found.failed), before.failed),
        ("unreachable", rollout.settings.max_unreachable, len(found.unreachable), before.unreachable),
    )
    for word, tolerance, count, earlier in rows:
        allowed = tolerance.stage.of(len(stage.nodes))
        if count > allowed:
            return f"{count} of {len(stage.nodes)} nodes {word}, {allowed} allowed in a stage"
        allowed = tolerance.whole.of(whole)
        if count + earlier > allowed:
            return f"{count + earlier} of {whole} nodes {word}, {allowed} allowed in the whole rollout"
    return ""
