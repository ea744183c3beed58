"""The five roles every installation has. They cannot be changed or deleted, so that their names mean the same everywhere.

viewer    sees the fleet, jobs, files and rollouts, and what commands printed; changes nothing, sees no people and no audit record
operator  a viewer who runs commands and tools on nodes and cancels them
deployer  a viewer who brings files, rollouts and cluster changes out; no free commands
approver  a viewer who decides what waits for a second person; cannot run what he approves
admin     everything

Raw shell text is a word of its own (exec.shell): an operator has it, because a script is everyday work, and an own role can leave
it out. Entering the host (exec.host) is with admin alone.
"""

from __future__ import annotations

from typing import Final

from corral.domain.access import EVERYTHING
from corral.server.application.ports.roles import Role

ADMIN: Final = "admin"
_SEE: Final = frozenset(
    {
        "node.read",
        "exec.read",
        "output.read",
        "file.read",
        "rollout.read",
        "approval.read",
        "policy.read",
        "connection.read",
        "system.read",
    }
)
_OPERATE: Final = frozenset(
    {
        "exec.run",
        "exec.shell",
        "exec.cancel",
        "service.run",
        "http.run",
        "sql.run",
        "search.run",
        "document.run",
        "connection.use",
        "secret.use",
    }
)
_DEPLOY: Final = frozenset(
    {
        "file.write",
        "file.apply",
        "rollout.write",
        "cluster.run",
        "exec.cancel",
        "connection.use",
        "secret.use",
    }
)
_APPROVE: Final = frozenset({"approval.decide"})

READY: Final[dict[str, Role]] = {
    role.name: role
    for role in (
        Role(
            name="viewer",
            permissions=_SEE,
            description="Sees nodes, jobs, output, files and rollouts.",
            ready=True,
        ),
        Role(
            name="operator",
            permissions=_SEE | _OPERATE,
            description="A viewer who runs commands and tools on nodes, and cancels jobs.",
            ready=True,
        ),
        Role(
            name="deployer",
            permissions=_SEE | _DEPLOY,
            description="A viewer who applies files, makes rollouts and changes clusters.",
            ready=True,
        ),
        Role(
            name="approver",
            permissions=_SEE | _APPROVE,
            description="A viewer who decides what waits for an approval.",
            ready=True,
        ),
        Role(name=ADMIN, permissions=frozenset({EVERYTHING}), description="Everything.", ready=True),
    )
}


def ready_role_with(permission: str) -> str:
    """The least of the ready roles that has `permission`."""
    return next((role.name for role in READY.values() if permission in role.permissions), ADMIN)
