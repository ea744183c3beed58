"""Ports of access and audit: who calls, and the record of every request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from corral.domain.access import EVERYWHERE, Grant, selectors

STAGE_KIND: Final = "rollout"
BACK_KIND: Final = "rollback"
GATE_KIND: Final = "gate"
"""Kinds of Caller under which a rollout submits its jobs. What goes forward may have to be approved; what undoes it, or only asks
how it went, waits for nobody."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who makes a request, as every use case receives it. `permissions` holds words such as exec.run; `*` is all."""

    name: str
    kind: str = "token"
    permissions: frozenset[str] = frozenset({"*"})
    address: str = ""
    request_id: str = ""
    credential: str = ""
    """The id of the API token or session that proves it; never the secret."""
    grants: tuple[Grant, ...] | None = None
    """Where each permission holds; None: on every node (`permissions` alone counts)."""
    user: str = ""
    """The id of the user behind it; '' for what belongs to nobody, such as the token of the first start."""

    def may(self, permission: str) -> bool:
        return "*" in self.permissions or permission in self.permissions

    def where(self, permission: str) -> tuple[str, ...]:
        """The selectors on whose nodes the caller has `permission`: ("all",) when nothing limits it, () for nowhere."""
        if not self.may(permission):
            return ()
        return (EVERYWHERE,) if self.grants is None else selectors(self.grants, permission)


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
    owner: str = ""
    """The id of the user whose grants limit it now and later; '' for a token that belongs to nobody."""


class ApiTokenStore(Protocol):
    async def add(self, token: ApiToken) -> None: ...

    async def by_hash(self, digest: bytes) -> ApiToken | None: ...

    async def list(self) -> Sequence[ApiToken]: ...

    async def revoke(self, token: str) -> None:
        """The sessions it opened end too."""
        ...

    async def touch(self, used: Mapping[str, datetime]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """One attempt to write, refusal or read of something sensitive. The lease holder seals it (ports/audit.py)."""

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
    credential: str = ""
    """The id of the API token or session it was done with."""
    job: str = ""
    """The job it made or is about."""


@dataclass(frozen=True, kw_only=True)
class AuditFilter:
    """Which entries; all that is given must hold. `outcome` is whole, `actor` too, `action` a part of it."""

    actor: str | None = None
    action: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    node: str | None = None
    """Entries about this node, or of jobs that have a task there."""
    job: str | None = None


NO_FILTER = AuditFilter()


class AuditLog(Protocol):
    async def add(self, entry: AuditEntry) -> None: ...

    async def add_many(self, entries: Sequence[AuditEntry]) -> None:
        """All of a batch in one transaction, in order."""
        ...

    async def list(
        self, *, limit: int = 50, before: int | None = None, only: AuditFilter = NO_FILTER
    ) -> Sequence[tuple[int, AuditEntry]]:
        """The newest first."""
        ...

    async def get(self, entry: int) -> AuditEntry:
        """Raises NotFound."""
        ...


@dataclass(frozen=True, kw_only=True)
class Session:
    """A person's login. `counter` is the number of the refresh token that is valid now; an older one is a stolen one."""

    id: str
    name: str
    permissions: frozenset[str]
    """What it may do at most; of a user's session, what of it the user's grants hold."""
    created_at: datetime
    expires_at: datetime
    source: str = ""
    """The API token that made it; revoking that token ends the session."""
    counter: int = 1
    rotated_at: datetime | None = None
    revoked: bool = False
    user: str = ""
    user_version: int = 0
    """The user's version when it began: another one now ends it."""
    method: str = "link"
    """How its owner logged in: link, token, password, invite, oidc."""
    address: str = ""


class SessionStore(Protocol):
    async def add(self, session: Session) -> None: ...

    async def get(self, session: str) -> Session | None: ...

    async def rotate(self, session: str, *, counter: int, now: datetime) -> bool:
        """counter → counter + 1 if that is still its counter and it is not revoked; False otherwise."""
        ...

    async def revoke(self, session: str) -> None: ...

    async def list(self, *, user: str | None, now: datetime, limit: int) -> Sequence[Session]:
        """Those that last, newest first; `user`: of one user."""
        ...

    async def drop_expired(self, *, now: datetime) -> int: ...


class Signer(Protocol):
    """Claims as a text nobody else can make. `purpose` keeps one kind of token from passing for another."""

    def sign(self, purpose: str, claims: Mapping[str, Any]) -> str: ...

    def read(self, purpose: str, text: str) -> Mapping[str, Any] | None:
        """The claims, or None when the text is not ours or was altered. Says nothing about time."""
        ...


class AccessMint(Protocol):
    """Access tokens: claims that live minutes, in a form nobody else can make."""

    def mint(self, claims: Mapping[str, Any], *, now: float, seconds: float) -> str: ...

    def read(self, text: str, *, now: float) -> Mapping[str, Any] | None:
        """The claims, or None when it is not ours, was altered, is for somebody else, or is not valid at `now`."""
        ...


class Sealer(Protocol):
    """Bytes that are stored but must not be readable in the database or a copy of it."""

    def seal(self, plain: bytes, *, context: str) -> bytes: ...

    def open(self, sealed: bytes, *, context: str) -> bytes | None:
        """None when it was sealed by another key or for another context."""
        ...


@dataclass(frozen=True, kw_only=True)
class StoredAnswer:
    """What a POST with an Idempotency-Key was answered; `body` is sealed, as it may hold a secret that is shown once."""

    request_hash: str
    status: int
    body: bytes
    at: datetime


class IdempotencyStore(Protocol):
    """Keys belong to an actor: two callers with the same key never see each other's answers."""

    async def get(self, key: str, actor: str) -> StoredAnswer | None: ...

    async def put(self, key: str, actor: str, answer: StoredAnswer) -> None:
        """The first one stays; a second put of the same key is ignored."""
        ...

    async def drop_before(self, moment: datetime) -> int: ...


class LeaseStore(Protocol):
    """The leader lease: whoever holds it runs dispatch sweeps, retention and presence writing, with a fencing token."""

    async def acquire(self, name: str, holder: str, *, seconds: float, now: datetime) -> int | None:
        """The fencing token when `holder` has the lease now (new or renewed), None when somebody else has it."""
        ...

    async def release(self, name: str, holder: str) -> None: ...
