"""All roles and grants as this server knows them: what a user holds, and which labels decide about it.

Read again after a second, and at once after a change made here: a grant that was revoked at another server of the same
installation counts for one second more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from corral.domain.access import Grant
from corral.runtime.clock import Clock
from corral.server.application.access.extent import narrowed
from corral.server.application.access.ready_roles import READY
from corral.server.application.ports.roles import Book, Role, RoleGrant, RoleStore, SubjectKind

KEPT_SECONDS: Final = 1.0
USERS_KEPT: Final = 10_000
GroupsOf = Callable[[str], Awaitable[Iterable[str] | None]]
"""The groups the identity provider said a user is in; None for nobody, or somebody who may not log in."""


class GrantBook:
    """Implements ports.people.GrantSource."""

    def __init__(self, *, store: RoleStore, clock: Clock, groups_of: GroupsOf) -> None:
        self._store = store
        self._groups_of = groups_of
        self._clock = clock
        self._book: Book | None = None
        self._until = 0.0
        self._of: dict[str, tuple[Grant, ...]] = {}
        self._changes = 0

    async def of(self, user: str) -> tuple[Grant, ...]:
        """What `user` holds, by himself and through his groups. () for somebody nobody granted anything."""
        book = await self.book()
        found = self._of.get(user)
        if found is None:
            changes = self._changes
            found = grants_of(book, await self.held(user))
            if changes == self._changes and self._book is book:
                if len(self._of) >= USERS_KEPT:
                    self._of.clear()
                self._of[user] = found
        return found

    async def held(self, user: str) -> Sequence[RoleGrant]:
        """The grants that count for `user`, oldest first."""
        book = await self.book()
        if not book.grants:
            return ()
        known = await self._groups_of(user)
        if known is None:
            return ()
        groups = frozenset(known)
        return [
            grant
            for grant in book.grants
            if (grant.subject_kind is SubjectKind.USER and grant.subject == user)
            or (grant.subject_kind is SubjectKind.GROUP and grant.subject in groups)
        ]

    async def book(self) -> Book:
        now = self._clock.monotonic()
        if self._book is None or now >= self._until:
            changes = self._changes
            book = await self._store.book()
            if changes != self._changes:
                return book  # somebody changed it meanwhile: good for this question and not kept
            self._book, self._until = book, now + KEPT_SECONDS
            self._of = {}
        return self._book

    def forget(self) -> None:
        """After a change."""
        self._changes += 1
        self._book = None
        self._of = {}

    async def selectors(self) -> set[str]:
        """What grants stand on."""
        return {grant.selector for grant in (await self.book()).grants}


def role_in(book: Book, name: str) -> Role | None:
    return READY.get(name) or book.roles.get(name)


def grants_of(book: Book, held: Iterable[RoleGrant]) -> tuple[Grant, ...]:
    """What those grants give. One of a role that is gone gives nothing."""
    found = []
    for grant in held:
        role = role_in(book, grant.role)
        if role is not None:
            found.append(as_grant(role, grant.selector, grant.id))
    return tuple(found)


def as_grant(role: Role, selector: str, id_: str = "") -> Grant:
    return Grant(
        permissions=narrowed(role.permissions, selector),
        selector=selector,
        role=role.name,
        id=id_,
        max_nodes=role.max_nodes,
    )
