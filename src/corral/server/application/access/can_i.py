"""May somebody do this there: yes, yes on some of the nodes, or no, with the grant that decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from corral.domain.access import EVERYWHERE, Grant, words
from corral.domain.errors import Denied
from corral.server.application.access.extent import NODE_WORDS
from corral.server.application.access.grant_book import GrantBook
from corral.server.application.access.permissions import ALL as EVERY_WORD
from corral.server.application.access.permissions import PERMISSIONS, check_permissions
from corral.server.application.access.ready_roles import ready_role_with
from corral.server.application.access.scope import Scope, named
from corral.server.application.ports.access import Caller
from corral.server.application.ports.fleet import Fleet

YES: Final = "yes"
SOME: Final = "some"
NO: Final = "no"


@dataclass(frozen=True, kw_only=True)
class Deciding:
    """A grant that counts, and on how many of the nodes asked about."""

    grant: Grant
    nodes: int


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`outside`: the nodes on which the answer is no. `nodes` is 0 when the question was not about nodes."""

    name: str
    permission: str
    verdict: str
    nodes: int
    outside: Sequence[str]
    by: Sequence[Deciding]
    why: str


class CanI:
    """Use case: reads only. Asking for somebody else needs role.read."""

    def __init__(self, *, book: GrantBook, scope: Scope, fleet: Fleet) -> None:
        self._book = book
        self._scope = scope
        self._fleet = fleet

    async def ask(
        self, caller: Caller, permission: str, selector: str | None = None, *, user: str | None = None
    ) -> Verdict:
        """Raises Invalid for an unknown permission, BadSelector, NothingMatched, Denied."""
        check_permissions([permission])
        who = await self._who(caller, user)
        if selector is None or (permission not in NODE_WORDS and permission != EVERY_WORD):
            return _about_nothing(who, permission)
        nodes = self._seen(caller, selector)
        allowed = self._scope.allowed(who, permission)
        if not who.may(permission):
            return _no(who, permission, nodes)
        outside = [node for node in nodes if node not in allowed]
        by = [
            Deciding(grant=grant, nodes=sum(node in covered for node in nodes))
            for grant in who.grants or ()
            if grant.gives(permission)
            for covered in (self._scope.within(grant.selector),)
        ]
        if outside:
            inside = len(nodes) - len(outside)
            why = f"{named(outside)}: outside every grant of {permission}"
            verdict = SOME if inside else NO
        else:
            why, verdict = _given(who, permission, by), YES
        return Verdict(
            name=who.name,
            permission=permission,
            verdict=verdict,
            nodes=len(nodes),
            outside=outside,
            by=[one for one in by if one.nodes],
            why=why,
        )

    async def booleans(self, caller: Caller, permissions: Sequence[str]) -> Mapping[str, bool]:
        """Whether the caller has each somewhere: what a page asks to know which buttons to show."""
        check_permissions(permissions)
        return {word: caller.may(word) for word in permissions}

    async def held(self, caller: Caller, *, user: str | None = None) -> Mapping[str, Sequence[str]]:
        """Permission → the selectors it holds on, of everything that is held somewhere."""
        who = await self._who(caller, user)
        return {word: who.where(word) for word in sorted(PERMISSIONS) if who.where(word)}

    async def _who(self, caller: Caller, user: str | None) -> Caller:
        if user is None or (user == caller.name and caller.grants is not None):
            return caller
        if not caller.may("role.read"):
            raise Denied(
                f"cannot say what {user[:64]!r} may do: {caller.name!r} has no permission 'role.read'",
                element="role.read",
                hint="ask for yourself: corral can-i without --as",
            )
        grants = await self._book.of(user)
        return replace(caller, name=user, permissions=words(grants), grants=grants)

    def _seen(self, caller: Caller, selector: str) -> Sequence[str]:
        """The nodes asked about; the caller names them, or sees them."""
        return self._fleet.resolve(selector)


def _given(who: Caller, permission: str, by: Sequence[Deciding]) -> str:
    if who.grants is None:
        return f"{who.name} has {permission} on every node"
    best = max(by, key=lambda one: one.nodes)
    return f"role {best.grant.role} on {best.grant.selector}"


def _about_nothing(who: Caller, permission: str) -> Verdict:
    """A question without nodes: is it held anywhere, and where."""
    where = who.where(permission)
    by = [Deciding(grant=grant, nodes=0) for grant in who.grants or () if grant.gives(permission)]
    if not where:
        return _no(who, permission, ())
    why = f"{who.name} has {permission}" + ("" if where == (EVERYWHERE,) else f" on {' and on '.join(where)}")
    return Verdict(name=who.name, permission=permission, verdict=YES, nodes=0, outside=(), by=by, why=why)


def _no(who: Caller, permission: str, nodes: Sequence[str]) -> Verdict:
    why = f"{who.name} has no grant of {permission}; role {ready_role_with(permission)} has it"
    if who.grants and permission not in NODE_WORDS:
        why += ", and it is about the whole server: it counts only in a grant on all"
    return Verdict(
        name=who.name, permission=permission, verdict=NO, nodes=len(nodes), outside=tuple(nodes), by=(), why=why
    )
