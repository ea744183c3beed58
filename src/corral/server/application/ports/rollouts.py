"""Ports of the rollouts room: the truth about rollouts, what their jobs are doing, and the probe of an HTTP gate."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from corral.domain.job import TaskSpec
from corral.domain.rollout_facts import ProbeFact, TaskFact
from corral.domain.rollout_state import Gate, Rollout, RolloutState


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a stage's job does on each node; the rest of its JobSpec comes from the stage."""

    spec: TaskSpec
    concurrency: int | None = None
    retries: int = 0

    def with_spec(self, spec: TaskSpec) -> Change:
        return replace(self, spec=spec)


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The change, and what undoes it where that is known."""

    forward: Change
    back: Change | None = None


@dataclass(frozen=True, kw_only=True)
class RolloutPage:
    items: Sequence[Rollout]
    next: str | None = None


class RolloutStore(Protocol):
    """Rollouts: made and steered by people, driven by the lease holder. Each method is one transaction."""

    async def add(self, rollout: Rollout, changes: Changes, *, operation: str | None) -> Rollout:
        """Committed when it returns. The same `operation` again returns the first one."""
        ...

    async def get(self, rollout: str) -> Rollout:
        """Raises NotFound."""
        ...

    async def changes(self, rollout: str) -> Changes:
        """What it does; apart from the rest because a script may be large. Raises NotFound."""
        ...

    async def save(self, rollout: Rollout, *, token: int | None = None, back: Change | None = None) -> Rollout:
        """Replace what changes in a rollout, if it is still at this `resource_version`; the answer has the next one.

        `token`: also only if this is the fencing token of the leader's lease. `back` replaces the change that undoes it.
        Raises Conflict (retryable) and changes nothing otherwise.
        """
        ...

    async def attention(self) -> Mapping[str, int]:
        """Rollout → resource_version, of those the driver has to look at."""
        ...

    async def list(
        self, *, states: Sequence[RolloutState] = (), limit: int = 50, cursor: str | None = None
    ) -> RolloutPage:
        """Newest first."""
        ...

    async def last_named(self, name: str) -> Rollout | None:
        """The newest of this name."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class StageJob:
    """A job as the rollout that submitted it under a name knows it. `counts`: state → number of tasks."""

    id: str
    created_at: datetime
    resource_version: int
    counts: Mapping[str, int]
    awaiting: bool = False
    """It waits for an approval."""
    approved_at: datetime | None = None


class StageJobs(Protocol):
    """Reads about jobs by the names they were submitted under."""

    async def named(self, operations: Collection[str]) -> Mapping[str, StageJob]:
        """Those that exist."""
        ...

    async def tasks(self, job: str) -> Mapping[str, TaskFact]:
        """Node → its task; presence is not known here and said to be online."""
        ...


class Prober(Protocol):
    """Asks the address of an HTTP gate, from this server."""

    async def check(self, gate: Gate) -> None:
        """Raises Invalid for an address that may not be asked at all."""
        ...

    async def probe(self, gate: Gate) -> ProbeFact:
        """Tries `gate.attempts` times; never raises."""
        ...
