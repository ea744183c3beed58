"""Ports of access and audit: who calls, and the record of every request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who makes a request, as every use case receives it. `permissions` holds words such as exec.run; `*` is all."""

    name: str
    kind: str = "token"
    permissions: frozenset[str] = frozenset({"*"})
    address: str = ""
    request_id: str = ""

    def may(self, permission: str) -> bool:
        return "*" in self.permissions or permission in self.permissions


@dataclass(frozen=True, kw_only=True)
class ApiToken:
    """A bearer token: only its SHA-256 is stored."""

    id: str
    name: str
    hash: bytes
    permissions: frozenset[str]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked: bool = False


class ApiTokenStore(Protocol):
    async def add(self, token: ApiToken) -> None: ...

    async def by_hash(self, digest: bytes) -> ApiToken | None: ...

    async def list(self) -> Sequence[ApiToken]: ...

    async def revoke(self, token: str) -> None: ...

    async def touch(self, used: Mapping[str, datetime]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """One write, refusal or read of something sensitive. Hash chain and sealing come with the access room."""

    at: datetime
    actor: str
    address: str
    action: str
    target: str
    outcome: str
    status: int
    request_id: str = ""
    duration_ms: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)


class AuditLog(Protocol):
    async def add(self, entry: AuditEntry) -> None: ...

    async def list(self, *, limit: int = 50, before: int | None = None) -> Sequence[tuple[int, AuditEntry]]: ...


class LeaseStore(Protocol):
    """The leader lease: whoever holds it runs dispatch sweeps, retention and presence writing, with a fencing token."""

    async def acquire(self, name: str, holder: str, *, seconds: float, now: datetime) -> int | None:
        """The fencing token when `holder` has the lease now (new or renewed), None when somebody else has it."""
        ...

    async def release(self, name: str, holder: str) -> None: ...
