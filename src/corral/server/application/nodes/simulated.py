"""Nodes of the fleet simulator: many identities at once, each with one key for both links. For administrators, for tests and demos.

A simulated node is a node like any other to everything else in the server. Its groups say its size class (`first-100`: the first
hundred of its prefix), so that a benchmark can pick exactly N of them by a selector.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from corral.domain.errors import Invalid
from corral.domain.ids import check_node_id
from corral.domain.node import Node
from corral.domain.task import Reason, TaskState
from corral.runtime import nkeys
from corral.runtime.clock import Clock
from corral.server.application.nodes.enrolment import outgrown
from corral.server.application.nodes.registry import Registry
from corral.server.application.ports.access import Caller
from corral.server.application.ports.jobs import JobStore
from corral.server.application.ports.nodes import CredentialIssuer, Credentials, NodeStore

BATCH_MAX: Final = 1000
GROUP: Final = "sim"
_SIZES: Final = (1, 10, 50, 100, 1000, 10_000)
_ROLES: Final = ("web", "db", "cache", "batch")
_NUMBERED: Final = re.compile(r"(?P<prefix>.+)-(?P<number>[0-9]{5})\Z")


@dataclass(frozen=True, kw_only=True)
class SimulatedKey:
    id: str
    key: str


class SimulatedNodes:
    def __init__(
        self, *, fleet: Registry, store: NodeStore, jobs: JobStore, credentials: CredentialIssuer, clock: Clock
    ) -> None:
        self._fleet = fleet
        self._store = store
        self._jobs = jobs
        self._credentials = credentials
        self._clock = clock

    async def add(self, caller: Caller, wanted: Sequence[SimulatedKey]) -> list[Credentials]:
        """Insert the nodes in one transaction and sign for each; the order of `wanted` is kept. Raises Invalid, Conflict."""
        if not 1 <= len(wanted) <= BATCH_MAX:
            raise Invalid(
                f"cannot add {len(wanted)} simulated nodes at once: expected 1 to {BATCH_MAX}", element="nodes"
            )
        now = self._clock.now()
        nodes = [self._node(key) for key in wanted]
        before = len(self._fleet)
        await self._store.add_all(nodes)
        for node in nodes:
            self._fleet.upsert(node)
        if any(outgrown(size) for size in range(before + 1, len(self._fleet) + 1)):
            await self._credentials.apply_revocations(await self._store.revocations())
        return [
            self._credentials.issue(node.id, daemon_key=node.daemon_key, worker_key=node.worker_key, now=now)
            for node in nodes
        ]

    async def remove(self, caller: Caller, prefix: str) -> int:
        """Forget every simulated node of a prefix; how many there were."""
        gone = [node.id for node in self._fleet.select(f"{check_node_id(prefix)}-*") if GROUP in node.groups]
        for node in gone:
            await self._jobs.settle_node(node, state=TaskState.LOST, reason=Reason.NODE_REMOVED, now=self._clock.now())
            await self._store.remove(node)
            self._fleet.remove(node)
        return len(gone)

    def _node(self, wanted: SimulatedKey) -> Node:
        check_node_id(wanted.id)
        numbered = _NUMBERED.match(wanted.id)
        if numbered is None:
            raise Invalid(f"cannot add {wanted.id!r}: expected an id such as sim-00001", element="id")
        if nkeys.decode_public(wanted.key)[0] != "U":
            raise Invalid(f"cannot add {wanted.id!r}: expected a user nkey (U…)", element="key")
        number = int(numbered["number"])
        return Node(
            id=wanted.id,
            labels={"sim": "true", "role": _ROLES[number % len(_ROLES)], "rack": f"r{number % 20:02d}"},
            groups=frozenset({GROUP, *(f"first-{size}" for size in _SIZES if number <= size)}),
            enrolled_at=self._clock.now(),
            daemon_key=wanted.key,
            worker_key=wanted.key,
        )
