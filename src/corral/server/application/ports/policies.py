"""Ports of the policies room: the one list of rules, and the way of its parts to the nodes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from corral.domain.policy_rules import FleetPolicy


@dataclass(frozen=True, kw_only=True)
class StoredPolicy:
    policy: FleetPolicy
    changed_at: datetime
    changed_by: str


class PolicyStore(Protocol):
    async def begin(self, first: StoredPolicy) -> None:
        """Store what a new installation begins with; what is there stays."""
        ...

    async def revision(self) -> int:
        """0 before `begin`."""
        ...

    async def load(self) -> StoredPolicy:
        """Raises NotFound before `begin`, Internal when what is stored cannot be read."""
        ...

    async def replace(self, policy: StoredPolicy, *, after: int) -> bool:
        """Store it when the revision is still `after`; False when somebody else was faster."""
        ...


class PolicyDown(Protocol):
    """Rules as a node reads them, on their way to it."""

    async def push(self, rules: Mapping[str, Sequence[Mapping[str, Any]]], *, revision: int, mode: str) -> None:
        """Node → its rules. Nothing is repeated: who did not get it says an older revision in its next beat."""
        ...


class Reach(Protocol):
    """What the distribution asks of the registry."""

    def within(self, selectors: tuple[str, ...]) -> frozenset[str]: ...

    def online(self, nodes: Collection[str]) -> frozenset[str]: ...
