"""Retry: a new attempt for each task that ended without success, in the same job, which is open again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from corral.domain.errors import Denied, WrongState
from corral.domain.ids import check_object_id
from corral.domain.job import Job, JobSpec
from corral.domain.kinds import needed
from corral.runtime.clock import Clock
from corral.server.application.jobs.aftermath import Aftermath
from corral.server.application.jobs.allowed import check_allowed
from corral.server.application.jobs.cancel import require_tasks
from corral.server.application.jobs.counters import Counters
from corral.server.application.jobs.sight import JobSight
from corral.server.application.ports.access import Caller
from corral.server.application.ports.guards import SubmissionGuard
from corral.server.application.ports.jobs import JobQueries, JobStore


async def nobody(job: str) -> bool:
    return False


class Retry:
    """Use case. The server decides on attempts, never the engine or the node. `approved`: whether somebody approved a job."""

    def __init__(
        self,
        *,
        store: JobStore,
        queries: JobQueries,
        aftermath: Aftermath,
        clock: Clock,
        counters: Counters,
        sight: JobSight | None = None,
        guards: Sequence[SubmissionGuard] = (),
        approved: Callable[[str], Awaitable[bool]] = nobody,
    ) -> None:
        self._sight = sight or JobSight(queries=queries)
        self._guards = guards
        self._approved = approved
        self._store = store
        self._queries = queries
        self._aftermath = aftermath
        self._clock = clock
        self._counters = counters

    async def retry(self, caller: Caller, job: str, nodes: Sequence[str] | None = None) -> Job:
        """The job, open again. Raises NotFound, or WrongState when no task of it may be retried."""
        check_object_id(job, "J", element="job")
        before = await self._queries.get(job)
        check_allowed(caller, before.spec)
        await self._sight.require(caller, job, needed(before.spec), nodes, f"retry job {job!r}", counted=True)
        await require_tasks(self._queries, job, nodes)
        await self._guarded(caller, before, nodes)
        changed = await self._store.retry(job, nodes=nodes, now=self._clock.now())
        if not changed.tasks:
            raise WrongState(
                f"cannot retry job {job!r}: no task of it has ended without success"
                + (" on the nodes given" if nodes else f"; the job is {before.state.value}"),
                element="job",
                hint=f"corral exec get {job}",
            )
        self._counters.add("jobs_retried_total")
        self._aftermath.of(changed)
        return await self._queries.get(job)

    async def _guarded(self, caller: Caller, job: Job, nodes: Sequence[str] | None) -> None:
        """The guards of a submission count again. What has to be approved was, for this very job, or is not repeated."""
        chosen = await self._queries.nodes(job.id) if nodes is None else nodes
        spec = JobSpec(target=job.target, command=job.spec, kind=job.kind, concurrency=job.concurrency)
        holds = [await guard.check(caller, spec, chosen) for guard in self._guards]
        if any(holds) and not await self._approved(job.id):
            why = next(hold.why for hold in holds if hold is not None)
            raise Denied(
                f"cannot retry job {job.id!r}: {why}, and nobody has approved this job",
                element="approval",
                hint="submit it anew: it then waits for approval",
            )
