"""Cancel: what never left is withdrawn at once, what did is told to stop until it answers with a receipt of its own."""

from __future__ import annotations

from collections.abc import Sequence

from corral.domain.errors import WrongState
from corral.domain.ids import check_object_id
from corral.domain.job import Job, JobState
from corral.runtime.clock import Clock
from corral.server.application.jobs.aftermath import Aftermath
from corral.server.application.jobs.counters import Counters
from corral.server.application.jobs.sight import JobSight
from corral.server.application.ports.access import Caller
from corral.server.application.ports.fleet import Fleet
from corral.server.application.ports.jobs import JobQueries, JobStore


class Cancellation:
    """Use case: a level, not an edge. Asking twice changes nothing; the dispatcher repeats it until each node answered."""

    def __init__(
        self,
        *,
        store: JobStore,
        queries: JobQueries,
        fleet: Fleet,
        aftermath: Aftermath,
        clock: Clock,
        counters: Counters,
        sight: JobSight | None = None,
    ) -> None:
        self._sight = sight or JobSight(queries=queries)
        self._store = store
        self._queries = queries
        self._fleet = fleet
        self._aftermath = aftermath
        self._clock = clock
        self._counters = counters

    async def cancel(self, caller: Caller, job: str, nodes: Sequence[str] | None = None) -> Job:
        """The job as it is now. Raises NotFound (job, or a node that is not in it), WrongState when it has ended already."""
        check_object_id(job, "J", element="job")
        before = await self._queries.get(job)
        await self._sight.require(caller, job, ("exec.cancel",), nodes, f"cancel job {job!r}")
        await require_tasks(self._queries, job, nodes)
        if before.state is not JobState.OPEN:
            if before.cancel_asked:
                return before
            raise WrongState(
                f"cannot cancel job {job!r}: it is already {before.state.value}",
                element="job",
                hint=f"corral exec get {job}",
            )
        now = self._clock.now()
        changed = await self._store.cancel(job, nodes=nodes, offline=self._fleet.gone_since(now), now=now)
        self._counters.add("jobs_cancelled_total")
        self._aftermath.of(changed)
        return await self._queries.get(job)


async def require_tasks(queries: JobQueries, job: str, nodes: Sequence[str] | None) -> None:
    """Raise NotFound for the first of `nodes` that has no task in `job`."""
    for node in nodes or ():
        await queries.task(job, node)
