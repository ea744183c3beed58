"""Taking a node's rights away: revoke (it may not connect any more), reset (its id may enrol again), remove (it is forgotten).

Each one tells the engine at once, which cuts a live link within two seconds. A node with open tasks is removed only by force;
those tasks then end as `lost`, because nobody will ever report them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from corral.domain.errors import Conflict, Invalid
from corral.domain.node import Node
from corral.domain.task import Reason, TaskState
from corral.runtime.clock import Clock
from corral.server.application.access.scope import Scope
from corral.server.application.nodes.registry import Registry
from corral.server.application.nodes.sight import visible_node
from corral.server.application.ports.access import Caller
from corral.server.application.ports.jobs import Changed, JobQueries, JobStore
from corral.server.application.ports.nodes import CredentialIssuer, NodeStore

REASON_CHARS_MAX: Final = 500
WRITE: Final = "node.write"
REMOVE: Final = "node.remove"


async def _nobody(changed: Changed) -> None:
    return None


class Removal:
    """`settled` hears which tasks and jobs a forced removal ended (live views of jobs)."""

    def __init__(
        self,
        *,
        fleet: Registry,
        store: NodeStore,
        credentials: CredentialIssuer,
        jobs: tuple[JobStore, JobQueries],
        clock: Clock,
        settled: Callable[[Changed], Awaitable[None]] = _nobody,
    ) -> None:
        self._fleet = fleet
        self._scope = Scope(fleet)
        self._store = store
        self._credentials = credentials
        self._jobs, self._queries = jobs
        self._clock = clock
        self._settled = settled

    async def revoke(self, caller: Caller, node: str, *, reason: str) -> Node:
        """The node stays known, with the reason shown; its keys are worth nothing from now on."""
        if not reason.strip():
            raise Invalid(
                "cannot revoke the node: expected a reason", element="reason", hint="it is shown with the node"
            )
        self._require(caller, WRITE, node, "revoke")
        record = await self._store.revoke(node, reason=reason.strip()[:REASON_CHARS_MAX], now=self._clock.now())
        self._fleet.upsert(record)
        await self._cut()
        return self._fleet.get(node)

    async def reset(self, caller: Caller, node: str) -> Node:
        """Forget the node's keys: the next enrolment under this id may bring new ones. Labels, groups and tasks stay."""
        self._require(caller, WRITE, node, "reset")
        record = await self._store.reset(node, now=self._clock.now())
        self._fleet.upsert(record)
        await self._cut()
        return self._fleet.get(node)

    async def remove(self, caller: Caller, node: str, *, force: bool = False) -> None:
        """Forget the node. Raises NotFound; Conflict saying what uses it, unless forced."""
        self._require(caller, REMOVE, node, "remove")
        open_tasks = await self._queries.open_count(node)
        if open_tasks and not force:
            tasks = "1 open task" if open_tasks == 1 else f"{open_tasks} open tasks"
            raise Conflict(
                f"cannot remove node {node!r}: it has {tasks}",
                element=node,
                hint="cancel them or wait, or use --force: they end as lost",
            )
        await self._store.revoke(node, reason="removed", now=self._clock.now())
        await self._cut()
        settled = await self._jobs.settle_node(
            node, state=TaskState.LOST, reason=Reason.NODE_REMOVED, now=self._clock.now()
        )
        await self._store.remove(node)
        self._fleet.remove(node)
        await self._settled(settled)

    def _require(self, caller: Caller, permission: str, node: str, doing: str) -> None:
        """Raises NotFound, or Denied for a node the caller sees and may not touch."""
        visible_node(self._fleet, self._scope, caller, node, permission)
        self._scope.require(caller, (permission,), [node], f"{doing} node {node!r}")

    async def _cut(self) -> None:
        await self._credentials.apply_revocations(await self._store.revocations())
