"""Roles and grants: who may do what, on which nodes. Other rooms get the book (what a user holds) from here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corral.server.application.access.can_i import CanI
from corral.server.application.access.deciding import Deciding, Selectors
from corral.server.application.access.grant_book import GrantBook
from corral.server.application.access.grants import Grants
from corral.server.application.access.role_room import RoleRoom
from corral.server.application.access.roles import Roles
from corral.server.application.access.scope import Scope
from corral.server.compose.ground import Ground
from corral.server.infrastructure.sql.approvals import SqlApprovalRules
from corral.server.infrastructure.sql.roles import SqlRoleStore


@dataclass(kw_only=True)
class RolesAndGrants:
    room: RoleRoom
    book: GrantBook
    deciding: Deciding


def compose_roles(ground: Ground, sources: Sequence[Selectors] = ()) -> RolesAndGrants:
    """`sources`: the selectors that other rooms stand on."""
    store = SqlRoleStore(ground.db)
    book = GrantBook(store=store, clock=ground.clock, groups_of=store.groups_of)
    room = RoleRoom(
        roles=Roles(store=store, book=book, clock=ground.clock),
        grants=Grants(store=store, book=book, clock=ground.clock),
        can_i=CanI(book=book, scope=Scope(ground.registry), fleet=ground.registry),
    )
    rules = SqlApprovalRules(ground.db)

    async def ruled() -> set[str]:
        return {rule.selector for rule in await rules.list()}

    return RolesAndGrants(room=room, book=book, deciding=Deciding((book.selectors, ruled, *sources)))
