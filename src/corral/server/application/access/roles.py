"""Own roles beside the five ready ones: made, changed, deleted. Changing one changes what everybody holds who has it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from corral.domain.errors import Conflict, Invalid, NotFound, WrongState
from corral.runtime.clock import Clock
from corral.server.application.access.grant_book import GrantBook, as_grant, role_in
from corral.server.application.access.holding import check_holds
from corral.server.application.access.permissions import check_permissions
from corral.server.application.access.ready_roles import READY
from corral.server.application.access.scope import require_everywhere
from corral.server.application.ports.access import Caller
from corral.server.application.ports.roles import Role, RoleStore

NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}\Z")
DESCRIPTION_CHARS: Final = 500
MAX_NODES: Final = 1_000_000


class Roles:
    """Use case."""

    def __init__(self, *, store: RoleStore, book: GrantBook, clock: Clock) -> None:
        self._store = store
        self._book = book
        self._clock = clock

    async def list(self, caller: Caller) -> Sequence[Role]:
        """The ready ones first, then own ones by name."""
        own = (await self._book.book()).roles
        return [*READY.values(), *(own[name] for name in sorted(own))]

    async def get(self, caller: Caller, name: str) -> Role:
        """Raises NotFound."""
        found = role_in(await self._book.book(), name)
        if found is None:
            raise no_role(name)
        return found

    async def create(
        self,
        caller: Caller,
        *,
        name: str,
        permissions: Sequence[str],
        description: str = "",
        max_nodes: int | None = None,
    ) -> Role:
        """Raises Invalid, or Conflict when the name is taken. Gives nobody anything: granting it does."""
        require_everywhere(caller, "role.write", "make a role")
        if NAME.match(name) is None:
            raise Invalid(
                f"cannot use {name[:40]!r} as a role's name: expected 1-63 characters a-z, 0-9 and '-', a letter first",
                element="name",
                hint="for example db-operator",
            )
        if name in READY:
            raise Conflict(
                f"cannot make role {name!r}: it is one of the ready ones", element="name", hint="choose another name"
            )
        role = _checked(
            Role(
                name=name,
                permissions=frozenset(permissions),
                description=description,
                max_nodes=max_nodes,
                created_at=self._clock.now(),
                created_by=caller.name,
            )
        )
        added = await self._store.add_role(role)
        self._book.forget()
        return added

    async def change(
        self,
        caller: Caller,
        name: str,
        *,
        permissions: Sequence[str] | None = None,
        description: str | None = None,
        max_nodes: int | None = None,
        uncap: bool = False,
        if_match: int | None = None,
    ) -> Role:
        """What is None stays; `uncap` takes the cap away. Raises NotFound, Conflict, and Denied when it gives somebody more than
        the caller holds there himself.
        """
        require_everywhere(caller, "role.write", "change a role")
        refuse_ready(name, "change")
        book = await self._store.book()
        found = book.roles.get(name)
        if found is None:
            raise no_role(name)
        version = found.resource_version if if_match is None else if_match
        wanted = _checked(
            replace(
                found,
                permissions=found.permissions if permissions is None else frozenset(permissions),
                description=found.description if description is None else description,
                max_nodes=None if uncap else found.max_nodes if max_nodes is None else max_nodes,
            )
        )
        granted = [grant for grant in book.grants if grant.role == name]
        for grant in granted:
            before, after = as_grant(found, grant.selector), as_grant(wanted, grant.selector)
            freer = before.max_nodes is not None and (after.max_nodes is None or after.max_nodes > before.max_nodes)
            more = after.permissions if freer else after.permissions - before.permissions
            check_holds(caller, replace(after, permissions=more), f"give more to {grant.subject!r} by role {name!r}")
        # Over what was looked at, also when the caller named no version: two changes must not add up unseen.
        changed = await self._store.change_role(
            wanted, if_match=version, granted=frozenset(grant.id for grant in granted)
        )
        self._book.forget()
        return changed

    async def delete(self, caller: Caller, name: str, *, if_match: int | None = None) -> None:
        """Raises NotFound; Conflict naming who has it."""
        require_everywhere(caller, "role.write", "delete a role")
        refuse_ready(name, "delete")
        await self._store.drop_role(name, if_match=if_match)
        self._book.forget()


def no_role(name: str) -> NotFound:
    return NotFound(f"cannot find role {name[:64]!r}", element="role", hint="corral role list")


def refuse_ready(name: str, verb: str) -> None:
    if name in READY:
        raise WrongState(
            f"cannot {verb} role {name!r}: it is one of the ready ones, which mean the same everywhere",
            element="role",
            hint=f"make your own: corral role create my-{name} --like {name}",
        )


def _checked(role: Role) -> Role:
    check_permissions(role.permissions)
    if len(role.description) > DESCRIPTION_CHARS or not role.description.isprintable():
        raise Invalid(
            f"cannot use this description: expected at most {DESCRIPTION_CHARS} printable characters",
            element="description",
            hint="one sentence is enough",
        )
    if role.max_nodes is not None and not 1 <= role.max_nodes <= MAX_NODES:
        raise Invalid(
            f"cannot use {role.max_nodes} as max_nodes: expected 1 to {MAX_NODES}",
            element="max_nodes",
            hint="for example --max-nodes 50",
        )
    return role
