"""What a permission is about: nodes, things that many share, or the whole server. It decides what a grant on some nodes can give.

A word that is about the whole server (users, roles, policies, backups, other people's audit) counts only in a grant on `all`:
otherwise "admin on env=dev" could make itself admin everywhere. A word nobody put in a set here is about the whole server.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from corral.domain.access import EVERYTHING, EVERYWHERE

NODE_WORDS: Final = frozenset(
    {
        "exec.run",
        "exec.read",
        "exec.cancel",
        "exec.shell",
        "exec.host",
        "file.apply",
        "service.run",
        "http.run",
        "sql.run",
        "search.run",
        "document.run",
        "cluster.run",
        "rollout.read",
        "rollout.write",
        "output.read",
        "node.read",
        "node.write",
        "node.remove",
        "approval.read",
        "approval.decide",
        "secret.use",
        "connection.use",
    }
)
"""They hold on the nodes of the grant and nowhere else."""
SHARED_WORDS: Final = frozenset({"file.read", "file.write", "connection.read", "policy.read"})
"""About things that belong to no node and that everyday work needs: whoever has them on some nodes has them."""
LIMITED: Final = NODE_WORDS | SHARED_WORDS


def narrowed(permissions: Collection[str], selector: str) -> frozenset[str]:
    """What a role with these permissions gives when it is granted on `selector`."""
    held = frozenset(permissions)
    if selector == EVERYWHERE:
        return held
    return LIMITED if EVERYTHING in held else held & LIMITED
