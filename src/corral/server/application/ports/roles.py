"""Ports of roles and grants: their truth in SQL, read as one book that is small enough to be kept in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class SubjectKind(StrEnum):
    """Who has a grant: one user, or whoever the identity provider says is in a group."""

    USER = "user"
    GROUP = "group"


@dataclass(frozen=True, kw_only=True)
class Role:
    """A name for permissions. `max_nodes`: how many nodes one submission by it may touch. `ready`: part of the product, fixed."""

    name: str
    permissions: frozenset[str]
    description: str = ""
    max_nodes: int | None = None
    ready: bool = False
    created_at: datetime | None = None
    created_by: str = ""
    resource_version: int = 1


@dataclass(frozen=True, kw_only=True)
class RoleGrant:
    """A role, to somebody, on the nodes of a selector."""

    id: str
    subject_kind: SubjectKind
    subject: str
    role: str
    selector: str
    created_at: datetime
    created_by: str


@dataclass(frozen=True, kw_only=True)
class Book:
    """Every own role by name, and every grant, oldest first."""

    roles: Mapping[str, Role]
    grants: Sequence[RoleGrant]


class RoleStore(Protocol):
    """Own roles and all grants. Each method is one transaction."""

    async def book(self) -> Book: ...

    async def add_role(self, role: Role) -> Role:
        """Raises Conflict when the name is taken."""
        ...

    async def change_role(self, role: Role, *, if_match: int, granted: Collection[str]) -> Role:
        """Replace permissions, description and cap. Raises NotFound; Conflict when `if_match` is not its version.

        Also Conflict unless `granted` are the ids of its grants: whoever got it meanwhile must be looked at first.
        """
        ...

    async def drop_role(self, name: str, *, if_match: int | None) -> None:
        """Raises NotFound, or Conflict naming who has it, or when `if_match` is not its version."""
        ...

    async def add_grant(self, grant: RoleGrant, *, role_version: int | None) -> RoleGrant:
        """The same grant again is the first one. `role_version`: its own role must still be at that version; None: a ready role.

        Raises NotFound when the role is gone, Conflict when it changed meanwhile.
        """
        ...

    async def drop_grant(self, grant: str, *, keep: str) -> RoleGrant:
        """The grant that was there. Raises NotFound; Conflict when no other enabled user has role `keep` on every node."""
        ...
