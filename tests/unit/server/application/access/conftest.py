"""A small fleet, roles in memory, and people who have some of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from corral.domain.access import words
from corral.domain.node import Node
from corral.server.application.access.can_i import CanI
from corral.server.application.access.grant_book import GrantBook
from corral.server.application.access.grants import Grants
from corral.server.application.access.roles import Roles
from corral.server.application.access.scope import Scope
from corral.server.application.nodes.registry import Registry
from corral.server.application.ports.access import Caller
from corral.server.application.ports.roles import RoleGrant, SubjectKind
from corral.testing.clock import FakeClock
from corral.testing.role_store import MemoryRoleStore

DEV = 'labels["env"] == "dev"'
ROOT = Caller(name="root")


class House:
    """dev-1 to dev-3 and prod-1 to prod-3; ana, ben, … have what a test grants them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.fleet = Registry()
        for env in ("dev", "prod"):
            for number in (1, 2, 3):
                self.fleet.upsert(Node(id=f"{env}-{number}", labels={"env": env}))
        self.store = MemoryRoleStore()
        self.groups: dict[str, list[str] | None] = {}
        self.book = GrantBook(store=self.store, clock=self.clock, groups_of=self._groups_of)
        self.roles = Roles(store=self.store, book=self.book, clock=self.clock)
        self.grants = Grants(store=self.store, book=self.book, clock=self.clock)
        self.scope = Scope(self.fleet)
        self.can_i = CanI(book=self.book, scope=self.scope, fleet=self.fleet)

    async def _groups_of(self, user: str) -> list[str] | None:
        return self.groups.get(user, [])

    async def grant(self, role: str, to: str, selector: str = "all", *, by: Caller = ROOT) -> RoleGrant:
        kind, _, name = to.rpartition(":")
        return await self.grants.grant(
            by, role=role, subject_kind=SubjectKind(kind or "user"), subject=name, selector=selector
        )

    async def caller(self, name: str) -> Caller:
        grants = await self.book.of(name)
        return Caller(name=name, kind="session", user=f"U-{name}", permissions=words(grants), grants=grants)


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def limited() -> Callable[..., Caller]:
    """A caller with grants as given: (role's permissions, selector, cap)."""
    from corral.domain.access import Grant

    def make(*grants: tuple[frozenset[str], str, int | None], name: str = "ana") -> Caller:
        held = tuple(
            Grant(permissions=permissions, selector=selector, max_nodes=cap, role="some", id=f"G{number}")
            for number, (permissions, selector, cap) in enumerate(grants)
        )
        return Caller(name=name, user=f"U-{name}", permissions=words(held), grants=held)

    return make
