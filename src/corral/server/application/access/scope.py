"""Where a caller may do something: his grants as a set of nodes. Every use case that touches nodes asks here, by permission.

A caller whose `grants` are None is let through without a look. A Scope that was given no fleet lets nobody else through: what is
not wired up refuses. Seeing is cut to the set (what is outside is not found); doing is refused as a whole and never cut.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from corral.domain.access import EVERYWHERE
from corral.domain.errors import Denied
from corral.domain.job import JobSpec
from corral.domain.kinds import needed
from corral.server.application.access.ready_roles import ready_role_with
from corral.server.application.ports.access import Caller
from corral.server.application.ports.fleet import Standing
from corral.server.application.ports.guards import Hold

NAMED_MAX: Final = 5


class Everywhere:
    """The set of all nodes, those that are not enrolled yet included."""

    def __contains__(self, node: object) -> bool:
        return True

    def __repr__(self) -> str:
        return "ALL"


ALL: Final = Everywhere()
Nodes = frozenset[str] | Everywhere
_NOWHERE: Final[frozenset[str]] = frozenset()


class Scope:
    def __init__(self, fleet: Standing | None = None) -> None:
        self._fleet = fleet

    def allowed(self, caller: Caller, *permissions: str) -> Nodes:
        """Where the caller has one of `permissions`."""
        if caller.grants is None:
            return ALL
        selectors: dict[str, None] = {}
        for permission in permissions:
            selectors |= dict.fromkeys(caller.where(permission))
        if EVERYWHERE in selectors:
            return ALL
        if not selectors or self._fleet is None:
            return _NOWHERE
        return self._fleet.within(tuple(selectors))

    def within(self, selector: str) -> Nodes:
        """The nodes of one grant."""
        if selector == EVERYWHERE:
            return ALL
        return _NOWHERE if self._fleet is None else self._fleet.within((selector,))

    def visible(self, caller: Caller, nodes: Sequence[str], *permissions: str) -> Sequence[str]:
        """Those of `nodes` where the caller has one of `permissions`, in order."""
        allowed = self.allowed(caller, *permissions)
        return nodes if allowed is ALL else [node for node in nodes if node in allowed]

    def require_to_run(self, caller: Caller, permissions: Collection[str], nodes: Sequence[str], doing: str) -> None:
        """As `require`, and Denied too when these are more nodes at once than the roles behind the grants allow."""
        self.require(caller, permissions, nodes, doing)
        self.check_count(caller, permissions, nodes, doing)

    def require(self, caller: Caller, permissions: Collection[str], nodes: Sequence[str], doing: str) -> None:
        """Raises Denied unless the caller has all `permissions` on all `nodes`. `doing`: "cancel job 'J…'"."""
        if caller.grants is None:
            return
        for permission in permissions:
            allowed = self.allowed(caller, permission)
            if allowed is ALL:
                continue
            outside = [node for node in nodes if node not in allowed]
            if outside:
                raise refusal(caller, permission, outside, len(nodes), doing)

    def check_count(self, caller: Caller, permissions: Collection[str], nodes: Sequence[str], doing: str) -> None:
        """Raises Denied for too many nodes at once: each counts against the grant that covers it and allows the most."""
        for permission in permissions:
            grants = [grant for grant in caller.grants or () if grant.gives(permission)]
            if all(grant.max_nodes is None for grant in grants):
                continue
            left = list(nodes)
            for grant in sorted(grants, key=lambda g: (g.max_nodes is not None, -(g.max_nodes or 0))):
                covered = self.within(grant.selector)
                taken = [node for node in left if node in covered]
                left = [node for node in left if node not in covered]
                if grant.max_nodes is not None and len(taken) > grant.max_nodes:
                    raise Denied(
                        f"cannot {doing} on {len(taken)} nodes at once: role {grant.role!r} allows {caller.name!r} "
                        f"at most {grant.max_nodes}",
                        element="max_nodes",
                        hint="choose fewer nodes, or roll it out in stages: corral rollout create --strategy",
                    )


def holds_everywhere(caller: Caller, permission: str) -> bool:
    return caller.may(permission) and (caller.grants is None or caller.where(permission) == (EVERYWHERE,))


def require_everywhere(caller: Caller, permission: str, doing: str) -> None:
    """Raises Denied unless nothing limits where the caller has `permission`."""
    if caller.grants is not None and not holds_everywhere(caller, permission):
        raise Denied(
            f"cannot {doing}: {caller.name!r} has {permission!r} on some nodes only, and this is about all of them",
            element=permission,
            hint=f"ask for a grant that holds everywhere: {_wanted(caller, permission, EVERYWHERE)}",
        )


def refusal(caller: Caller, permission: str, outside: Sequence[str], total: int, doing: str) -> Denied:
    """What is said when some nodes are outside the caller's grants: how many, which, and the grant that is missing."""
    held = caller.where(permission)
    where = f"has {permission!r} only on {' and on '.join(held)}" if held else f"has no permission {permission!r}"
    count = f"{len(outside)} of the {total} nodes are" if total > 1 else "the node is"
    return Denied(
        f"cannot {doing}: {count} outside the grants of {caller.name!r} ({named(outside)}), who {where}",
        element=permission,
        hint="choose nodes inside, or ask for a grant: "
        + _wanted(caller, permission, ",".join(outside[:NAMED_MAX]) if len(outside) <= NAMED_MAX else "SELECTOR"),
    )


def named(nodes: Sequence[str]) -> str:
    more = len(nodes) - NAMED_MAX
    return ", ".join(nodes[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def _wanted(caller: Caller, permission: str, selector: str) -> str:
    return f"corral role grant {ready_role_with(permission)} --to {caller.name} -t {selector}"


class ScopeGuard:
    """First of the guards of a submission: the caller holds what it needs on every node of it, and it is not too many at once."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def check(self, caller: Caller, spec: JobSpec, nodes: Sequence[str]) -> Hold | None:
        if caller.grants is not None:
            self._scope.require_to_run(caller, needed(spec.command), nodes, "submit this")
        return None
