"""Ports of the nodes room: the truth about nodes, join tokens, credentials, and live questions to a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from corral.domain.node import Node, Presence, Relabelling
from corral.domain.presence_log import PresenceChange


class NodeStore(Protocol):
    async def all(self) -> Sequence[Node]:
        """Every node, facts included: what the registry starts from."""
        ...

    async def get(self, node: str) -> Node:
        """Raises NotFound."""
        ...

    async def add_all(self, nodes: Sequence[Node]) -> None:
        """Insert many at once, in one transaction (the simulator). Raises Conflict when an id is taken by another key."""
        ...

    async def set_labels(
        self, nodes: Sequence[str], change: Relabelling, *, if_match: int | None = None
    ) -> Sequence[Node]:
        """Change labels and groups as they are at that moment; resource_version + 1. Raises Conflict on `if_match`."""
        ...

    async def set_facts(self, facts: Mapping[str, Mapping[str, Any]]) -> None:
        """Node → facts, for a whole batch in one statement."""
        ...

    async def set_presence(self, seen: Mapping[str, tuple[Presence, datetime, str]]) -> None:
        """Node → (presence, since, reason); written by the lease holder now and then, never per beat."""
        ...

    async def remove(self, node: str) -> None: ...

    async def revoke(self, node: str, *, reason: str, now: datetime) -> Node: ...

    async def reset(self, node: str, *, now: datetime) -> Node:
        """Revoke the keys and empty them: the next enrolment of this id may bring new ones. Labels, groups and tasks stay."""
        ...

    async def revocations(self) -> Mapping[str, int]:
        """User nkey → epoch seconds: part of the NODES account's claims."""
        ...


@dataclass(frozen=True, kw_only=True)
class PresencePage:
    """Changes of one node, newest first; `until` is when the one before the first of them in this order began."""

    items: Sequence[PresenceChange]
    until: datetime | None = None
    next: str | None = None


class PresenceLog(Protocol):
    """What the presence of nodes was; a removed node's goes with it (NodeStore.remove)."""

    async def add(self, changes: Sequence[PresenceChange]) -> None: ...

    async def read(self, node: str, *, limit: int, cursor: str | None = None) -> PresencePage:
        """Raises Invalid for a foreign cursor."""
        ...


@dataclass(frozen=True, kw_only=True)
class JoinToken:
    """What enrols nodes. The secret is shown once; `proof_key` is what the node's HMAC is checked with."""

    id: str
    proof_key: bytes
    uses_left: int
    uses: int
    expires_at: datetime
    created_at: datetime
    created_by: str
    labels: Mapping[str, str]
    groups: frozenset[str]
    node_id: str | None = None
    revoked: bool = False


class TokenStore(Protocol):
    async def add(self, token: JoinToken) -> None: ...

    async def get(self, token: str) -> JoinToken:
        """Raises TokenRefused when there is none."""
        ...

    async def list(self) -> Sequence[JoinToken]: ...

    async def revoke(self, token: str) -> None: ...

    async def enrol(self, token: str, node: Node, *, now: datetime) -> None:
        """Spend one use and insert the node in one transaction.

        Raises TokenRefused (used up, expired, revoked, made for another node id) or Conflict (id taken by another key).
        The same id with the same keys again is accepted without spending a use. A known id whose keys are empty (reset) takes
        the new ones, spends a use, keeps its labels and groups and merges the token's.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What a node gets at enrolment and renewal: two signed user credentials and the key set to pin."""

    daemon_jwt: str
    worker_jwt: str
    expires_at: datetime
    signing_keys: Mapping[str, str]
    engine_urls: Sequence[str]
    engine_ca: str = ""


class CredentialIssuer(Protocol):
    def issue(self, node: str, *, daemon_key: str, worker_key: str, now: datetime) -> Credentials: ...

    async def apply_revocations(self, revocations: Mapping[str, int]) -> None:
        """Push the NODES claims to the engine: who is revoked loses a live connection."""
        ...


class NodeRpc(Protocol):
    async def call(self, node: str, method: str, params: Mapping[str, Any], *, timeout_seconds: float = 5.0) -> Any:
        """Ask a live node (preview, tail, status). Raises Unavailable when it is offline or silent."""
        ...
