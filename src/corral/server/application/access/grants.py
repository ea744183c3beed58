"""Granting and revoking: a role, to a user or a group, on the nodes of a selector."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from corral.domain.access import EVERYWHERE
from corral.domain.errors import Invalid
from corral.domain.ids import check_object_id, new_id
from corral.domain.selector.standing import check_standing
from corral.runtime.clock import Clock, now_ms
from corral.server.application.access.grant_book import GrantBook, as_grant, role_in
from corral.server.application.access.holding import check_holds
from corral.server.application.access.ready_roles import ADMIN, READY
from corral.server.application.access.roles import no_role
from corral.server.application.access.scope import require_everywhere
from corral.server.application.ports.access import Caller
from corral.server.application.ports.roles import Role, RoleGrant, RoleStore, SubjectKind

SUBJECT_CHARS: Final = 128
SELECTOR_BYTES: Final = 1000


class Grants:
    """Use case. Each change counts at once here, and within a second at other servers of the installation."""

    def __init__(self, *, store: RoleStore, book: GrantBook, clock: Clock) -> None:
        self._store = store
        self._book = book
        self._clock = clock

    async def grant(
        self, caller: Caller, *, role: str, subject_kind: SubjectKind, subject: str, selector: str = EVERYWHERE
    ) -> RoleGrant:
        """The same grant again is the first one. Raises Invalid, BadSelector (with the column), NotFound, Denied."""
        require_everywhere(caller, "role.write", "grant a role")
        subject = _checked_subject(subject)
        selector = checked_selector(selector)
        found = await self._role(role)
        given = as_grant(found, selector)
        if not given.permissions:
            raise Invalid(
                f"cannot grant role {role!r} on {selector}: all it permits is about the whole server and not about nodes",
                element="selector",
                hint="grant it on all, or a role that permits something on nodes",
            )
        check_holds(caller, given, f"grant role {role!r}")
        granted = await self._store.add_grant(
            RoleGrant(
                id=new_id("G", now_ms(self._clock), secrets.token_bytes(6)),
                subject_kind=subject_kind,
                subject=subject,
                role=role,
                selector=selector,
                created_at=self._clock.now(),
                created_by=caller.name,
            ),
            role_version=None if role in READY else found.resource_version,
        )
        self._book.forget()
        return granted

    async def revoke(self, caller: Caller, grant: str) -> RoleGrant:
        """Raises NotFound; Conflict when nobody would be left who is admin everywhere."""
        require_everywhere(caller, "role.write", "revoke a grant")
        check_object_id(grant, "G", element="grant")
        gone = await self._store.drop_grant(grant, keep=ADMIN)
        self._book.forget()
        return gone

    async def list(self, caller: Caller, *, user: str | None = None, role: str | None = None) -> Sequence[RoleGrant]:
        """Oldest first; of `user` also what comes through groups."""
        grants = (await self._book.book()).grants if user is None else await self._book.held(user)
        return [grant for grant in grants if role is None or grant.role == role]

    async def _role(self, name: str) -> Role:
        """As it is now: a role that somebody widens meanwhile must not be granted as it was."""
        found = role_in(await self._store.book(), name)
        if found is None:
            raise no_role(name)
        return found


def checked_selector(selector: str) -> str:
    """Raises Invalid or BadSelector. What picks everything is written one way, so that nobody overlooks it."""
    size = len(selector.encode("utf-8", "surrogatepass"))
    if size > SELECTOR_BYTES:
        raise Invalid(
            f"cannot grant on a selector of {size} bytes: at most {SELECTOR_BYTES}",
            element="selector",
            hint="give the nodes a label or a group and grant on that",
        )
    text = selector.strip()
    check_standing(text)
    return EVERYWHERE if text == "true" else text


def _checked_subject(subject: str) -> str:
    text = subject.strip()
    if not text or len(text) > SUBJECT_CHARS or not text.isprintable():
        raise Invalid(
            f"cannot grant to {subject[:40]!r}: expected the name of a user or a group, 1-{SUBJECT_CHARS} characters",
            element="subject",
            hint="corral user list",
        )
    return text
