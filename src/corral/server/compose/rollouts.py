"""The rollouts room: people create and steer, the lease holder's driver does the rest through the jobs room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corral.domain.access import Grant
from corral.runtime.lifecycle import Component
from corral.server.application.access.grant_book import GrantBook
from corral.server.application.access.scope import Scope
from corral.server.application.review.room import SqlReview
from corral.server.application.rollouts.asking import SecondPerson
from corral.server.application.rollouts.control import Steering
from corral.server.application.rollouts.create import Creation
from corral.server.application.rollouts.engine import RolloutDriver
from corral.server.application.rollouts.explain import RolloutExplaining
from corral.server.application.rollouts.facts import FactReader
from corral.server.application.rollouts.listing import RolloutListing
from corral.server.application.rollouts.perform import Performer
from corral.server.application.rollouts.room import RolloutRoom
from corral.server.application.rollouts.sight import RolloutSight
from corral.server.compose.files import Files
from corral.server.compose.ground import Ground
from corral.server.compose.guards import may_hold
from corral.server.compose.jobs import Jobs, completing
from corral.server.infrastructure.probe.http import HttpProber
from corral.server.infrastructure.sql.rollouts import SqlRolloutStore, SqlRolloutUsage, SqlStageJobs
from corral.server.infrastructure.sql.users import SqlUserStore


@dataclass(kw_only=True)
class Rollouts:
    room: RolloutRoom
    components: Sequence[Component]


def compose_rollouts(ground: Ground, jobs: Jobs, files: Files, book: GrantBook, review: SqlReview) -> Rollouts:
    clock, store, stage_jobs = ground.clock, SqlRolloutStore(ground.db), SqlStageJobs(ground.db)
    sight, users = RolloutSight(Scope(ground.registry)), SqlUserStore(ground.db)

    async def grants_of(owner: str) -> tuple[Grant, ...]:
        user = await users.get(owner)
        return () if user is None else await book.of(user.name)

    files.usages.append(SqlRolloutUsage(ground.db))
    prober = HttpProber(clock=clock, allow=ground.config.rollouts.probe_allow)
    driver = RolloutDriver(
        store=store,
        facts=FactReader(jobs=stage_jobs, fleet=ground.registry, clock=clock),
        performer=Performer(
            store=store,
            submission=jobs.room.submission,
            cancellation=jobs.room.cancellation,
            grants_of=grants_of,
        ),
        prober=prober,
        leadership=ground.leadership,
        clock=clock,
    )
    second = SecondPerson(may_hold(jobs.guards))
    room = RolloutRoom(
        creation=Creation(
            store=store,
            fleet=ground.registry,
            prober=prober,
            clock=clock,
            complete=completing(files, review),
            wake=driver.wake,
            sight=sight,
            second=second,
        ),
        steering=Steering(store=store, clock=clock, wake=driver.wake, sight=sight, second=second),
        listing=RolloutListing(store=store, jobs=stage_jobs, clock=clock, sight=sight),
        explanation=RolloutExplaining(
            store=store,
            facts=FactReader(jobs=stage_jobs, fleet=ground.registry, clock=clock),
            clock=clock,
            sight=sight,
        ),
    )
    return Rollouts(room=room, components=(driver,))
