"""The jobs room: submit → SQL → down to nodes; up → ingest → SQL → events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corral.domain.approval import ApprovalState
from corral.domain.job import JobSpec
from corral.runtime.lifecycle import Component
from corral.server.application.access.scope import Scope
from corral.server.application.jobs.aftermath import Aftermath
from corral.server.application.jobs.cancel import Cancellation
from corral.server.application.jobs.dispatch import Dispatcher
from corral.server.application.jobs.events import EventHub
from corral.server.application.jobs.explain import Explaining
from corral.server.application.jobs.listing import Listing
from corral.server.application.jobs.output import OutputReading
from corral.server.application.jobs.reach import Reach
from corral.server.application.jobs.retry import Retry
from corral.server.application.jobs.room import JobRoom
from corral.server.application.jobs.search import OutputSearch
from corral.server.application.jobs.sight import JobSight
from corral.server.application.jobs.submit import Complete, Submission
from corral.server.application.jobs.sweep import Sweeper
from corral.server.application.jobs.watch import Watching
from corral.server.application.ports.access import Caller
from corral.server.application.ports.guards import SubmissionGuard
from corral.server.application.ports.jobs import DeadLetters, JobStore
from corral.server.application.review.room import SqlReview
from corral.server.compose.files import Files
from corral.server.compose.ground import Ground
from corral.server.compose.guards import compose_guards
from corral.server.compose.named import Named
from corral.server.compose.retention import retention
from corral.server.compose.rules import Rules
from corral.server.infrastructure.nats.down import NatsDown
from corral.server.infrastructure.nats.output import NatsOutputLog
from corral.server.infrastructure.nats.reports import ReportIngest
from corral.server.infrastructure.nats.specs import WireSpecs
from corral.server.infrastructure.nats.sync import SyncResponder
from corral.server.infrastructure.sql.approvals import SqlApprovalQueries
from corral.server.infrastructure.sql.dead_letters import SqlDeadLetters
from corral.server.infrastructure.sql.jobs import SqlJobStore
from corral.server.infrastructure.sql.jobs_queries import SqlJobQueries


@dataclass(kw_only=True)
class Jobs:
    """The room, what runs for it, and what the nodes room needs of it."""

    room: JobRoom
    components: Sequence[Component]
    store: JobStore
    down: NatsDown
    aftermath: Aftermath
    letters: DeadLetters
    guards: Sequence[SubmissionGuard]


def completing(files: Files, review: SqlReview) -> Complete:
    """What a submission only names is looked up, and what it gives as one text is split, whatever its kind."""

    async def complete(caller: Caller, spec: JobSpec) -> JobSpec:
        return await review.complete(caller, await files.shipping.complete(caller, spec))

    return complete


def compose_jobs(ground: Ground, files: Files, named: Named, review: SqlReview, rules: Rules) -> Jobs:
    """The dispatcher waits while ingest is behind; ingest hands it what a batch released."""
    clock, counters, bus = ground.clock, ground.counters, ground.bus
    store, queries, letters = SqlJobStore(ground.db), SqlJobQueries(ground.db), SqlDeadLetters(ground.db, clock)
    specs = WireSpecs(objects=bus.objects, signer=ground.ring, place=files.blobs.place, clock=clock)
    down = NatsDown(
        wire=bus.wire,
        specs=specs,
        signer=ground.ring,
        clock=clock,
        labels=lambda node: ground.registry.get(node).labels if node in ground.registry else {},
        private=named.private.of,
    )
    dispatcher = Dispatcher(
        store=store,
        down=down,
        fleet=ground.registry,
        clock=clock,
        counters=counters,
        leader=lambda: ground.leadership.leading,
        behind=lambda: ingest.behind(),
    )
    hub = EventHub(counters=counters)
    aftermath = Aftermath(events=hub, dispatcher=dispatcher)
    ingest = ReportIngest(
        streams=bus.streams,
        store=store,
        letters=letters,
        down=down,
        aftermath=aftermath,
        clock=clock,
        counters=counters,
        rates=lambda sent: ground.count_reports(sent),
    )
    sync = SyncResponder(
        streams=bus.streams,
        wire=bus.wire,
        store=store,
        queries=queries,
        down=down,
        aftermath=aftermath,
        signer=ground.ring,
        keys=ground.ring.announced,
        clock=clock,
        counters=counters,
        rates=lambda sent: ground.count_syncs(sent),
        policy=rules.for_sync,
    )
    output = NatsOutputLog(streams=bus.streams, counters=counters)
    sweeper = Sweeper(
        store=store,
        aftermath=aftermath,
        clock=clock,
        counters=counters,
        leader=lambda: ground.leadership.leading,
        hearing=lambda: bus.connected,
        lost_after_seconds=ground.config.jobs.lost_after_seconds,
        retention=retention(ground, output, specs),
    )
    sight = JobSight(queries=queries, scope=Scope(ground.registry))
    reading, reach = OutputReading(queries=queries, log=output, sight=sight), Reach(fleet=ground.registry)
    guards, approvals = compose_guards(ground, named, review, rules), SqlApprovalQueries(ground.db, clock)

    async def approved(job: str) -> bool:
        found = await approvals.of_job(job)
        return found is not None and found.state is ApprovalState.APPROVED

    room = JobRoom(
        submission=Submission(
            store=store,
            fleet=ground.registry,
            dispatcher=dispatcher,
            clock=clock,
            counters=counters,
            complete=completing(files, review),
            guards=guards,
        ),
        cancellation=Cancellation(
            store=store,
            queries=queries,
            fleet=ground.registry,
            aftermath=aftermath,
            clock=clock,
            counters=counters,
            sight=sight,
        ),
        retry=Retry(
            store=store,
            queries=queries,
            aftermath=aftermath,
            clock=clock,
            counters=counters,
            sight=sight,
            guards=guards,
            approved=approved,
        ),
        queries=queries,
        explanation=Explaining(store=store, queries=queries, fleet=ground.registry, clock=clock, sight=sight),
        listing=Listing(queries=queries, output=reading, reach=reach, sight=sight),
        output=reading,
        events=hub,
        search=OutputSearch(queries=queries, log=output, sight=sight, clock=clock),
        watching=Watching(queries=queries, output=output, events=hub, clock=clock, reach=reach, sight=sight),
    )
    return Jobs(
        room=room,
        components=(dispatcher, ingest, sync, sweeper),
        store=store,
        down=down,
        aftermath=aftermath,
        letters=letters,
        guards=guards,
    )
