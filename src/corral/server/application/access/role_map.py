"""Roles of groups by configuration (oidc.role_map): kept as grants like any other, so that everybody sees them where grants are seen.

They are made at start and removed at the start after they left the configuration; what people granted is not touched.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from typing import Final

from corral.domain.access import EVERYWHERE
from corral.domain.errors import Invalid, NotFound
from corral.domain.ids import new_id
from corral.runtime.clock import Clock, now_ms
from corral.server.application.access.grant_book import role_in
from corral.server.application.access.ready_roles import READY
from corral.server.application.ports.roles import RoleGrant, RoleStore, SubjectKind

BY: Final = "corral.toml"


def parse_role_map(lines: Iterable[str]) -> Mapping[tuple[str, str], str]:
    """(group, role) → the line that says so. Raises Invalid for a line that is not group=role."""
    found: dict[tuple[str, str], str] = {}
    for line in lines:
        group, mark, role = (text.strip() for text in line.rpartition("="))
        if not mark or not group or not role or len(group) > 128:
            raise Invalid(
                f"cannot use {line!r} in oidc.role_map: expected group=role",
                element="oidc.role_map",
                hint='for example role_map = ["corral-admins=admin", "ops=operator"]',
            )
        found[group, role] = line
    return found


async def apply_role_map(store: RoleStore, lines: Iterable[str], *, clock: Clock) -> None:
    """Raises Invalid when a role is not there."""
    wanted = parse_role_map(lines)
    book = await store.book()
    for (_, name), line in wanted.items():
        if role_in(book, name) is None:
            raise Invalid(
                f"cannot use {line!r} in oidc.role_map: there is no role {name!r}",
                element="oidc.role_map",
                hint="corral role list; roles of your own are made first, then named here",
            )
    ours = [grant for grant in book.grants if grant.created_by == BY and grant.subject_kind is SubjectKind.GROUP]
    for grant in ours:
        if (grant.subject, grant.role) not in wanted:
            try:
                await store.drop_grant(grant.id, keep="")
            except NotFound:
                continue  # another server that starts now did it
    for group, name in wanted:
        role = role_in(book, name)
        assert role is not None
        await store.add_grant(
            RoleGrant(
                id=new_id("G", now_ms(clock), secrets.token_bytes(6)),
                subject_kind=SubjectKind.GROUP,
                subject=group,
                role=name,
                selector=EVERYWHERE,
                created_at=clock.now(),
                created_by=BY,
            ),
            role_version=None if name in READY else role.resource_version,
        )
