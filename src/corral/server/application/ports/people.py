"""Ports of people: users, what slows down guessing at their passwords, and what they may do where.

A user's name is what grants, audit entries and approvals speak of; it never changes. `version` goes up with whatever must end
all access at once (a new password, disabling): sessions remember the version they began with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from corral.domain.access import Grant


class UserSource(StrEnum):
    """Who proves who a user is: a password here, or the identity provider."""

    LOCAL = "local"
    OIDC = "oidc"


@dataclass(frozen=True, kw_only=True)
class User:
    """`subject` is issuer and id at the provider; `groups` what the provider said at the last login."""

    id: str
    name: str
    display_name: str = ""
    email: str = ""
    password_hash: str | None = None
    must_change: bool = False
    """The password was set by somebody else: nothing works until its owner has set another."""
    source: UserSource = UserSource.LOCAL
    subject: str | None = None
    groups: frozenset[str] = frozenset()
    disabled: bool = False
    version: int = 1
    invite_hash: bytes | None = None
    invite_expires_at: datetime | None = None
    created_at: datetime
    last_login_at: datetime | None = None
    resource_version: int = 1


class UserStore(Protocol):
    """Users. Each method is one transaction."""

    async def add(self, user: User) -> None:
        """Raises Conflict when the name or the subject is taken."""
        ...

    async def get(self, user: str) -> User | None:
        """By id."""
        ...

    async def by_name(self, name: str) -> User | None: ...

    async def by_subject(self, subject: str) -> User | None: ...

    async def by_invite(self, digest: bytes) -> User | None: ...

    async def list(self, *, limit: int, after: str | None = None) -> Sequence[User]:
        """By name, beginning after the name `after`."""
        ...

    async def change(self, user: str, apply: Callable[[User], User], *, keep: str | None = None) -> User:
        """Store what `apply` makes of the user as it is now, with the next resource_version; `apply` may raise, then nothing changes.

        Another `version` ends the user's sessions. Raises NotFound; with `keep` (a role) Conflict when this disables the last user who
        has that role on every node.
        """
        ...

    async def remove(self, user: str, *, keep: str) -> User:
        """Its sessions, API tokens and grants go too. Raises NotFound; Conflict as `change` does."""
        ...


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """Failed logins of one name or address. Locked until `until`, in seconds since the epoch."""

    count: int = 0
    lockouts: int = 0
    until: float = 0.0
    last_at: float = 0.0


class AttemptStore(Protocol):
    """Failed logins, in one place for all servers of an installation."""

    async def update(
        self, keys: Sequence[str], change: Callable[[Mapping[str, Attempts]], Mapping[str, Attempts]]
    ) -> None:
        """Read the keys, store what `change` makes of them, with nobody in between. What `change` raises stores nothing."""
        ...

    async def drop_before(self, moment: datetime) -> int: ...


class PasswordHasher(Protocol):
    """Slow on purpose and off the loop; raises TooMany when too many wait already."""

    async def hash(self, password: str) -> str: ...

    async def verify(self, known: str | None, password: str) -> bool:
        """False for None too, after as long as it takes with a hash."""
        ...

    def outdated(self, known: str) -> bool:
        """Whether it was made with other parameters than are used now."""
        ...


class GrantSource(Protocol):
    """What a user may do, where. `user` is its name."""

    async def of(self, user: str) -> tuple[Grant, ...]: ...


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Somebody the identity provider vouches for."""

    subject: str
    """Issuer and its id there: what a user is recognized by."""
    name: str
    display_name: str = ""
    email: str = ""
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A login under way at the provider: what the answer has to match."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str


class IdentityProvider(Protocol):
    """OpenID Connect, authorization code with PKCE."""

    async def question(self, redirect_uri: str) -> tuple[str, Asked]:
        """The URL to send the browser to, and what to keep until it comes back. Raises Unavailable."""
        ...

    async def answer(self, asked: Asked, code: str) -> Identity:
        """Redeem the code. Raises Unauthenticated for whatever does not match, Unavailable."""
        ...
