"""Who may submit what: each kind of task has its own permission, and the jobs routes serve all kinds."""

from __future__ import annotations

from corral.domain.errors import Denied
from corral.domain.job import TaskSpec
from corral.domain.kinds import kind_name, needed
from corral.server.application.ports.access import Caller


def check_allowed(caller: Caller, spec: TaskSpec) -> None:
    """Raises Denied unless the caller may submit, or repeat, this somewhere."""
    for permission in needed(spec):
        if not caller.may(permission):
            raise Denied(
                f"cannot submit a job of kind {kind_name(spec)!r}: {caller.name!r} has no permission {permission!r}",
                element=permission,
                hint="use a token that has it; 'corral whoami' shows what yours may do",
            )
