"""The words a permission can be. The route table attaches them; tokens and sessions carry them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from corral.domain.errors import Invalid

ALL: Final = "*"
PERMISSIONS: Final = frozenset(
    {
        "exec.run",
        "exec.read",
        "exec.cancel",
        "file.read",
        "file.write",
        "file.apply",
        "rollout.read",
        "rollout.write",
        "output.read",
        "node.read",
        "node.write",
        "node.remove",
        "token.write",
        "token.read",
        "service.run",
        "http.run",
        "sql.run",
        "search.run",
        "document.run",
        "cluster.run",
        "exec.shell",
        "exec.host",
        "approval.read",
        "approval.decide",
        "policy.read",
        "policy.write",
        "secret.read",
        "secret.write",
        "secret.use",
        "connection.read",
        "connection.write",
        "connection.use",
        "access.write",
        "access.read",
        "user.read",
        "user.write",
        "role.read",
        "role.write",
        "audit.read",
        "system.read",
        "system.write",
    }
)


def check_permissions(words: Iterable[str]) -> frozenset[str]:
    """The words as a set; raises Invalid for an unknown or a missing one."""
    found = frozenset(words)
    for word in sorted(found):
        if word != ALL and word not in PERMISSIONS:
            raise Invalid(
                f"cannot grant {word[:64]!r}: there is no such permission",
                element="permissions",
                hint=f"use {ALL} or some of {', '.join(sorted(PERMISSIONS))}",
            )
    if not found:
        raise Invalid("cannot make a token without permissions", element="permissions", hint=f"use {ALL} for all")
    return found
