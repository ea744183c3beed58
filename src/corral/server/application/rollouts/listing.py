"""Rollouts as people read them: each stage with the counts of its job, now; and the same again whenever something changes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from corral.domain.errors import NotFound
from corral.domain.ids import check_object_id
from corral.domain.rollout_state import TERMINAL, Direction, Rollout, RolloutState, Stage, operation
from corral.runtime.clock import Clock
from corral.server.application.jobs.listing import check_limit
from corral.server.application.ports.access import Caller
from corral.server.application.ports.rollouts import RolloutPage, RolloutStore, StageJobs
from corral.server.application.rollouts.sight import RolloutSight

LIST_MAX: Final = 200
LOOK_SECONDS: Final = 0.3


@dataclass(frozen=True, kw_only=True)
class StageView:
    """`index` counts from 1. `counts`: task state → nodes; empty while nothing has started. `job` may be known before it is recorded."""

    index: int
    stage: Stage
    job: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RolloutView:
    rollout: Rollout
    stages: Sequence[StageView]
    back: Sequence[StageView]


class RolloutListing:
    """Use case: reads only."""

    def __init__(
        self, *, store: RolloutStore, jobs: StageJobs, clock: Clock, sight: RolloutSight | None = None
    ) -> None:
        self._sight = sight or RolloutSight()
        self._store = store
        self._jobs = jobs
        self._clock = clock

    async def get(self, caller: Caller, rollout: str) -> RolloutView:
        """Raises NotFound."""
        check_object_id(rollout, "R", element="rollout")
        return await self.view(self._sight.see(caller, await self._store.get(rollout)))

    async def list(
        self,
        caller: Caller,
        *,
        states: Sequence[RolloutState] = (),
        limit: int = 50,
        cursor: str | None = None,
    ) -> RolloutPage:
        """Newest first, without counts; only those with a node where the caller may see them, so a page may be short."""
        limit = check_limit(limit, LIST_MAX)
        while True:
            page = await self._store.list(states=states, limit=limit, cursor=cursor)
            cut = [self._sight.cut(caller, rollout) for rollout in page.items]
            items = [rollout for rollout in cut if rollout is not None]
            if items or page.next is None:
                return RolloutPage(items=items, next=page.next)
            cursor = page.next

    async def view(self, rollout: Rollout) -> RolloutView:
        parts = ((Direction.FORWARD, rollout.stages), (Direction.BACK, rollout.back))
        found = await self._jobs.named(
            [operation(rollout.id, direction, index) for direction, stages in parts for index in range(len(stages))]
        )

        def views(direction: Direction, stages: Sequence[Stage]) -> list[StageView]:
            out = []
            for index, stage in enumerate(stages):
                job = found.get(operation(rollout.id, direction, index))
                if job is None:
                    out.append(StageView(index=index + 1, stage=stage, job=stage.job))
                else:
                    out.append(StageView(index=index + 1, stage=stage, job=job.id, counts=job.counts))
            return out

        return RolloutView(
            rollout=rollout,
            stages=views(Direction.FORWARD, rollout.stages),
            back=views(Direction.BACK, rollout.back),
        )

    async def watch(self, caller: Caller, rollout: str) -> AsyncGenerator[RolloutView, None]:
        """As it is now, then each time it differs, until it is over. Raises NotFound before anything is sent."""
        return self._changes(caller, await self.get(caller, rollout))

    async def _changes(self, caller: Caller, view: RolloutView) -> AsyncGenerator[RolloutView, None]:
        yield view
        while view.rollout.state not in TERMINAL:
            await self._clock.sleep(LOOK_SECONDS)
            try:
                fresh = await self.get(caller, view.rollout.id)
            except NotFound:
                return  # its last node left the caller's grants
            if fresh != view:
                view = fresh
                yield view
