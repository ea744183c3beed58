"""Who stands behind a session or an API token at this moment, and what is left of its permissions.

Permissions are never stored with a user's session or token: they are what the user's grants give now, within what the session
or token may do at most. A disabled user has no access; one whose password somebody else set may do nothing but set another.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from corral.domain.access import EVERYTHING, Grant, words
from corral.runtime.clock import Clock
from corral.server.application.access.brief import Brief
from corral.server.application.ports.access import ApiToken, Session
from corral.server.application.ports.people import GrantSource, User, UserStore


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What somebody may do. `grants` None: on every node."""

    name: str
    permissions: frozenset[str]
    grants: tuple[Grant, ...] | None = None
    user: User | None = None


class Standing:
    """A change at another server of the installation counts here within a second."""

    def __init__(self, *, users: UserStore, grants: GrantSource, clock: Clock) -> None:
        self._grants = grants
        self._by_id: Brief[User | None] = Brief(users.get, clock=clock)

    async def of_session(self, session: Session) -> Holding | None:
        """None when its user is gone, disabled, or has begun anew since."""
        if not session.user:
            return Holding(name=session.name, permissions=session.permissions)
        user = await self._by_id.get(session.user)
        if user is None or user.disabled or user.version != session.user_version:
            return None
        return await self._holding(user, session.permissions)

    async def of_token(self, token: ApiToken) -> Holding | None:
        """None when its owner is gone or disabled."""
        if not token.owner:
            return Holding(name=token.name, permissions=token.permissions)
        user = await self._by_id.get(token.owner)
        if user is None or user.disabled:
            return None
        return await self._holding(user, token.permissions)

    def forget(self, user: User) -> None:
        """After a change."""
        self._by_id.forget(user.id)

    async def _holding(self, user: User, at_most: frozenset[str]) -> Holding:
        if user.must_change:
            return Holding(name=user.name, permissions=frozenset(), grants=(), user=user)
        grants = within(await self._grants.of(user.name), at_most)
        return Holding(name=user.name, permissions=words(grants), grants=grants, user=user)


def within(grants: Iterable[Grant], at_most: frozenset[str]) -> tuple[Grant, ...]:
    """The grants, each with no more than `at_most`; what is left with nothing is left out."""
    if EVERYTHING in at_most:
        return tuple(grants)
    kept = (
        replace(grant, permissions=at_most if EVERYTHING in grant.permissions else grant.permissions & at_most)
        for grant in grants
    )
    return tuple(grant for grant in kept if grant.permissions)
