"""How much of a job a caller sees: the tasks on nodes inside his grants. A job without any is not there for him.

Its counts, target and text are those of the whole job; tasks, output and reasons are cut. What changes a job (cancel, retry) is
never cut: it needs the permission on every node it touches.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from corral.domain.errors import Denied, NotFound
from corral.server.application.access.scope import ALL, Nodes, Scope
from corral.server.application.ports.access import Caller
from corral.server.application.ports.jobs import JobQueries

READ = "exec.read"
OUTPUT = "output.read"


class JobSight:
    def __init__(self, *, queries: JobQueries, scope: Scope | None = None) -> None:
        self._queries = queries
        self._scope = scope or Scope()

    def everywhere(self, caller: Caller, *permissions: str) -> Nodes:
        """Where the caller has one of `permissions`, whatever the job."""
        return self._scope.allowed(caller, *permissions)

    async def of(self, caller: Caller, job: str, *permissions: str) -> Nodes:
        """The job's nodes inside the caller's grants of one of `permissions`. Raises NotFound when there is none."""
        allowed = self._scope.allowed(caller, *permissions)
        if not isinstance(allowed, frozenset):
            return ALL
        seen = allowed.intersection(await self._queries.nodes(job))
        if not seen:
            raise unseen(job)
        return seen

    async def require(
        self,
        caller: Caller,
        job: str,
        permissions: Collection[str],
        nodes: Sequence[str] | None,
        doing: str,
        *,
        counted: bool = False,
    ) -> None:
        """Raises NotFound for a job the caller sees nothing of, Denied when a node it touches is outside. None: all its nodes.

        `counted`: it starts something, so the roles' caps hold.
        """
        if caller.grants is None:
            return
        of_job = await self._queries.nodes(job)
        if not self._scope.visible(caller, of_job, READ, *permissions):
            raise unseen(job)
        touched = of_job if nodes is None else nodes
        self._scope.require(caller, permissions, touched, doing)
        if counted:
            self._scope.check_count(caller, permissions, touched, doing)


def unseen(job: str) -> NotFound:
    """As for a job that does not exist: what is outside somebody's grants is not even confirmed."""
    return NotFound(f"cannot find job {job!r}", element="job", hint="corral exec list")


def unseen_task(job: str, node: str) -> NotFound:
    return NotFound(
        f"cannot find a task of node {node!r} in job {job!r}", element="node", hint=f"corral exec get {job}"
    )


def check_output(caller: Caller) -> None:
    """Output asked for beside a job is output all the same."""
    if not caller.may(OUTPUT):
        raise Denied(
            f"cannot show output: {caller.name!r} has no permission {OUTPUT!r}",
            element=OUTPUT,
            hint="leave the output out, or ask for role viewer",
        )
