"""Roles and grants in memory: the same port, the same contract tests."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from corral.domain.access import EVERYWHERE
from corral.server.application.ports.roles import Book, Role, RoleGrant, SubjectKind
from corral.server.infrastructure.sql.roles import changed_meanwhile, in_use, last_of, no_grant, no_role, taken


class MemoryRoleStore:
    """RoleStore in memory."""

    def __init__(self) -> None:
        self._roles: dict[str, Role] = {}
        self._grants: dict[str, RoleGrant] = {}
        self.reads = 0
        self.enabled: Callable[[str], bool] = lambda user: True

    async def book(self) -> Book:
        self.reads += 1
        return Book(roles=dict(self._roles), grants=tuple(self._grants[id_] for id_ in sorted(self._grants)))

    async def add_role(self, role: Role) -> Role:
        if role.name in self._roles:
            raise taken(role.name)
        self._roles[role.name] = replace(role, resource_version=1)
        return self._roles[role.name]

    async def change_role(self, role: Role, *, if_match: int, granted: Collection[str]) -> Role:
        found = self._role(role.name)
        if found.resource_version != if_match or {g.id for g in self._of(role.name)} != set(granted):
            raise changed_meanwhile(role.name)
        self._roles[role.name] = replace(role, resource_version=if_match + 1)
        return self._roles[role.name]

    async def drop_role(self, name: str, *, if_match: int | None) -> None:
        found = self._role(name)
        if if_match is not None and found.resource_version != if_match:
            raise changed_meanwhile(name)
        if grants := self._of(name):
            raise in_use(name, list(dict.fromkeys(grant.subject for grant in grants)))
        del self._roles[name]

    async def add_grant(self, grant: RoleGrant, *, role_version: int | None) -> RoleGrant:
        if role_version is not None and self._role(grant.role).resource_version != role_version:
            raise changed_meanwhile(grant.role)
        for have in self._of(grant.role):
            if (have.subject_kind, have.subject, have.selector) == (grant.subject_kind, grant.subject, grant.selector):
                return have
        self._grants[grant.id] = grant
        return grant

    async def drop_grant(self, grant: str, *, keep: str) -> RoleGrant:
        found = self._grants.get(grant)
        if found is None:
            raise no_grant(grant)
        kept = [
            have.id
            for have in self._of(keep)
            if have.selector == EVERYWHERE and have.subject_kind is SubjectKind.USER and self.enabled(have.subject)
        ]
        if kept == [grant]:
            raise last_of(found.role, found.subject)
        del self._grants[grant]
        return found

    def _role(self, name: str) -> Role:
        if name not in self._roles:
            raise no_role(name)
        return self._roles[name]

    def _of(self, role: str) -> list[RoleGrant]:
        return [self._grants[id_] for id_ in sorted(self._grants) if self._grants[id_].role == role]
