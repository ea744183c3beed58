"""Nobody gives what he does not hold where he holds it: the rule behind granting a role, and behind widening one that is granted."""

from __future__ import annotations

from collections.abc import Iterable

from corral.domain.access import EVERYTHING, EVERYWHERE, Grant
from corral.domain.errors import Denied
from corral.domain.selector.standing import check_standing, implies
from corral.server.application.access.extent import SHARED_WORDS
from corral.server.application.access.permissions import PERMISSIONS
from corral.server.application.ports.access import Caller


def check_holds(caller: Caller, grant: Grant, doing: str) -> None:
    """Raises Denied for a permission of `grant` that the caller does not hold on every node its selector can ever pick.

    By the text of the selectors and not by the nodes of this moment: a label set tomorrow must not widen what was given today.
    """
    missing = sorted(word for word in _words(grant.permissions) if not _holds(caller, word, grant))
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise Denied(
            f"cannot {doing}: {caller.name!r} does not hold {shown} on {grant.selector}",
            element=missing[0],
            hint="give what you hold yourself, where you hold it, or ask somebody who has more",
        )


def _words(permissions: Iterable[str]) -> frozenset[str]:
    """`*` is every word there is now, and what comes later."""
    given = frozenset(permissions)
    return PERMISSIONS | {EVERYTHING} if EVERYTHING in given else given


def _holds(caller: Caller, word: str, grant: Grant) -> bool:
    if word == EVERYTHING:
        if EVERYTHING not in caller.permissions:
            return False
        return caller.grants is None or any(
            EVERYTHING in own.permissions and own.selector == EVERYWHERE and _cap_fits(own, grant)
            for own in caller.grants
        )
    if not caller.may(word):
        return False
    if caller.grants is None:
        return True
    narrow = check_standing(grant.selector)
    return any(
        own.gives(word)
        and _cap_fits(own, grant)
        and (word in SHARED_WORDS or implies(narrow, check_standing(own.selector)))
        for own in caller.grants
    )


def _cap_fits(own: Grant, given: Grant) -> bool:
    """Whoever may touch ten nodes at once lets nobody touch more."""
    return own.max_nodes is None or (given.max_nodes is not None and given.max_nodes <= own.max_nodes)
