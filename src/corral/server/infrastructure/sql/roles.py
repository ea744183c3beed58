"""Own roles and all grants (ports/roles.py RoleStore).

Races are decided by row locks: whoever grants an own role and whoever changes or deletes it lock its row first, and whoever revokes
a grant of the role that must not die out locks all of those.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Final

from corral.domain.access import EVERYWHERE
from corral.domain.errors import Conflict, NotFound
from corral.server.application.ports.roles import Book, Role, RoleGrant, SubjectKind
from corral.server.infrastructure.sql.database import Database, Tx
from corral.server.infrastructure.sql.statements import Statement, as_set
from corral.server.infrastructure.sql.values import at, clean, dumps_list, moment, seconds, stamp

_ROLE: Final = ("name", "permissions", "description", "max_nodes", "created_at", "created_by", "resource_version")
_GRANT: Final = ("id", "subject_kind", "subject", "role", "selector", "created_at", "created_by")
_ROLES: Final = Statement(f"select {', '.join(_ROLE)} from roles order by name", out=_ROLE)
_GRANTS: Final = Statement(f"select {', '.join(_GRANT)} from role_grants order by id", out=_GRANT)
_LOCK_ROLE: Final = Statement(f"select {', '.join(_ROLE)} from roles t where t.name = :name $lock")
_GRANTS_OF: Final = Statement(
    "select subject_kind, subject, id from role_grants where role = :role order by id",
    out=("subject_kind", "subject", "id"),
)
_ADD_ROLE: Final = Statement(
    f"""
    insert into roles ({", ".join(_ROLE)})
    values (:name, :permissions, :description, :max_nodes, :created_at, :created_by, 1)
    on conflict do nothing
    """
)
_CHANGE_ROLE: Final = Statement(
    """
    update roles set permissions = :permissions, description = :description, max_nodes = :max_nodes,
        resource_version = resource_version + 1
    where name = :name
    """
)
_DROP_ROLE: Final = Statement("delete from roles where name = :name")
_ADD_GRANT: Final = Statement(
    f"""
    insert into role_grants ({", ".join(_GRANT)})
    values (:id, :subject_kind, :subject, :role, :selector, :created_at, :created_by)
    on conflict do nothing
    """
)
_SAME_GRANT: Final = Statement(
    f"""
    select {", ".join(_GRANT)} from role_grants
    where subject_kind = :subject_kind and subject = :subject and role = :role and selector = :selector
    """
)
_LOCK_GRANT: Final = Statement(f"select {', '.join(_GRANT)} from role_grants t where t.id = :id $lock")
_LOCK_KEPT: Final = Statement(
    """
    select t.subject from role_grants t
    where t.role = :role and t.selector = :selector and t.subject_kind = 'user'
    order by t.id $lock
    """
)
_ENABLED: Final = Statement("select name from users where not disabled and name in $in(names)", out=("name",))
_GROUPS_OF: Final = Statement('select "groups", disabled from users where name = :name')
_DROP_GRANT: Final = Statement("delete from role_grants where id = :id")


def changed_meanwhile(name: str) -> Conflict:
    return Conflict(
        f"cannot use role {name!r} as it was read: it changed meanwhile",
        element="resource_version",
        hint=f"look at it again: corral role show {name}",
        retryable=True,
    )


def taken(name: str) -> Conflict:
    return Conflict(f"cannot make role {name!r}: it exists", element="name", hint=f"corral role show {name}")


def no_role(name: str) -> NotFound:
    return NotFound(f"cannot find role {name!r}", element="role", hint="corral role list")


def no_grant(grant: str) -> NotFound:
    return NotFound(f"cannot find grant {grant!r}", element="grant", hint="corral role grants")


def in_use(name: str, subjects: Sequence[str]) -> Conflict:
    shown = ", ".join(subjects[:5]) + (f" and {len(subjects) - 5} more" if len(subjects) > 5 else "")
    return Conflict(
        f"cannot delete role {name!r}: it is granted to {shown}",
        element="role",
        hint=f"revoke it first: corral role revoke {name} --from {subjects[0]}",
    )


def last_of(role: str, subject: str) -> Conflict:
    return Conflict(
        f"cannot revoke role {role!r} from {subject!r}: nobody else has it on every node",
        element="grant",
        hint=f"first: corral role grant {role} --to SOMEBODY",
    )


class SqlRoleStore:
    """RoleStore over SQLite or PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def book(self) -> Book:
        # Grants before roles: a grant read without its role gives nothing, never the other way round.
        async with self._db.read() as tx:
            grants = await tx.rows(_GRANTS)
            roles = await tx.rows(_ROLES)
        return Book(
            roles={role.name: role for role in map(_to_role, roles)}, grants=tuple(_to_grant(row) for row in grants)
        )

    async def add_role(self, role: Role) -> Role:
        async with self._db.write() as tx:
            added = await tx.run(
                _ADD_ROLE,
                **_content(role),
                created_at=stamp(role.created_at) or 0.0,
                created_by=clean(role.created_by)[:128],
            )
        if not added:
            raise taken(role.name)
        return replace(role, resource_version=1)

    async def change_role(self, role: Role, *, if_match: int, granted: Collection[str]) -> Role:
        async with self._db.write() as tx:
            found = await _locked(tx, role.name)
            grants = await tx.rows(_GRANTS_OF, role=found.name)
            if found.resource_version != if_match or {row[2] for row in grants} != set(granted):
                raise changed_meanwhile(role.name)
            await tx.run(_CHANGE_ROLE, **_content(role))
        return replace(role, resource_version=if_match + 1)

    async def drop_role(self, name: str, *, if_match: int | None) -> None:
        async with self._db.write() as tx:
            found = await _locked(tx, name)
            if if_match is not None and found.resource_version != if_match:
                raise changed_meanwhile(name)
            grants = await tx.rows(_GRANTS_OF, role=name)
            if grants:
                raise in_use(name, list(dict.fromkeys(subject for _, subject, _ in grants)))
            await tx.run(_DROP_ROLE, name=name)

    async def add_grant(self, grant: RoleGrant, *, role_version: int | None) -> RoleGrant:
        values = {
            "subject_kind": grant.subject_kind.value,
            "subject": clean(grant.subject)[:128],
            "role": grant.role,
            "selector": clean(grant.selector),
        }
        async with self._db.write() as tx:
            if role_version is not None:
                found = await _locked(tx, grant.role)
                if found.resource_version != role_version:
                    raise changed_meanwhile(grant.role)
            await tx.run(
                _ADD_GRANT,
                **values,
                id=grant.id,
                created_at=seconds(grant.created_at),
                created_by=clean(grant.created_by)[:128],
            )
            row = await tx.row(_SAME_GRANT, **values)
        if row is None:
            raise changed_meanwhile(grant.role)  # revoked in the same moment
        return _to_grant(row)

    async def drop_grant(self, grant: str, *, keep: str) -> RoleGrant:
        async with self._db.write() as tx:
            holders = [row[0] for row in await tx.rows(_LOCK_KEPT, role=keep, selector=EVERYWHERE)]
            row = await tx.row(_LOCK_GRANT, id=clean(grant))
            if row is None:
                raise no_grant(grant)
            found = _to_grant(row)
            in_charge = (found.subject_kind, found.role, found.selector) == (SubjectKind.USER, keep, EVERYWHERE)
            if in_charge and [row[0] for row in await tx.rows(_ENABLED, names=as_set(holders))] == [found.subject]:
                raise last_of(found.role, found.subject)
            await tx.run(_DROP_GRANT, id=found.id)
        return found

    async def groups_of(self, user: str) -> Sequence[str] | None:
        """What the identity provider said at the last login of the user of this name; None when nobody of this name may log in."""
        async with self._db.read() as tx:
            row = await tx.row(_GROUPS_OF, name=clean(user))
        return None if row is None or row[1] else list(json.loads(row[0]))


async def _locked(tx: Tx, name: str) -> Role:
    row = await tx.row(_LOCK_ROLE, name=clean(name))
    if row is None:
        raise no_role(name)
    return _to_role(row)


def _content(role: Role) -> dict[str, Any]:
    return {
        "name": role.name,
        "permissions": dumps_list(sorted(role.permissions)),
        "description": clean(role.description),
        "max_nodes": role.max_nodes,
    }


def _to_role(row: Sequence[Any]) -> Role:
    name, permissions, description, max_nodes, created_at, created_by, version = row
    return Role(
        name=name,
        permissions=frozenset(json.loads(permissions)),
        description=description,
        max_nodes=max_nodes,
        created_at=moment(created_at),
        created_by=created_by,
        resource_version=version,
    )


def _to_grant(row: Sequence[Any]) -> RoleGrant:
    id_, subject_kind, subject, role, selector, created_at, created_by = row
    return RoleGrant(
        id=id_,
        subject_kind=SubjectKind(subject_kind),
        subject=subject,
        role=role,
        selector=selector,
        created_at=at(created_at),
        created_by=created_by,
    )
