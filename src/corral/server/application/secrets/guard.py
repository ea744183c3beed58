"""Before a job is stored: the secrets and the connection it names exist, its caller may use them, and its nodes may get them."""

from __future__ import annotations

from collections.abc import Sequence

from corral.domain.access import EVERYWHERE
from corral.domain.connection import Connection
from corral.domain.errors import Denied, Invalid
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.job import JobSpec
from corral.domain.kinds import kind_named, secret_names
from corral.server.application.ports.access import Caller
from corral.server.application.ports.connections import ConnectionStore
from corral.server.application.ports.fleet import Standing
from corral.server.application.ports.guards import Hold
from corral.server.application.ports.secrets import SecretStore
from corral.server.application.secrets.book import no_secret

_NAMED_MAX = 5


class SecretGuard:
    def __init__(self, *, secrets: SecretStore, connections: ConnectionStore, fleet: Standing) -> None:
        self._secrets = secrets
        self._connections = connections
        self._fleet = fleet

    async def check(self, caller: Caller, spec: JobSpec, nodes: Sequence[str]) -> Hold | None:
        """Raises NotFound, Denied, Invalid; never makes anybody wait."""
        await self._check_connection(caller, spec, nodes)
        names = secret_names(spec.command)
        if not names:
            return None
        _must(caller, "secret.use", f"use secret {min(names)!r}", nodes, self._fleet)
        found = {entry.name: entry for entry in await self._secrets.entries(sorted(names))}
        for name in sorted(names):
            if name not in found:
                raise no_secret(name)
            self._reaches(f"secret {name!r}", found[name].selector, nodes)
        return None

    async def _check_connection(self, caller: Caller, spec: JobSpec, nodes: Sequence[str]) -> None:
        command = spec.command
        if not isinstance(command, ExecutorSpec) or command.connection is None:
            return
        _must(caller, "connection.use", f"use connection {command.connection!r}", nodes, self._fleet)
        connection: Connection = await self._connections.get(command.connection)
        kind = kind_named(spec.kind).executor
        if kind is not None and connection.engine not in kind.engines:
            raise Invalid(
                f"cannot run {spec.kind} over connection {connection.name!r}: that is {connection.engine}, expected "
                f"{' or '.join(kind.engines)}",
                element="connection",
                hint="corral connection list",
            )
        self._reaches(f"connection {connection.name!r}", connection.selector, nodes)

    def _reaches(self, what: str, selector: str, nodes: Sequence[str]) -> None:
        if selector == EVERYWHERE:
            return
        within = self._fleet.within((selector,))
        outside = [node for node in nodes if node not in within]
        if outside:
            shown = ", ".join(outside[:_NAMED_MAX]) + (" …" if len(outside) > _NAMED_MAX else "")
            raise Denied(
                f"cannot give {what} to {shown}: it is for {selector} only",
                element="target",
                hint="choose nodes inside, or widen the selector it is bound to",
            )


def _must(caller: Caller, permission: str, doing: str, nodes: Sequence[str], fleet: Standing) -> None:
    where = caller.where(permission)
    if where == (EVERYWHERE,):
        return
    within = fleet.within(where) if where else frozenset[str]()
    outside = [node for node in nodes if node not in within]
    if outside:
        raise Denied(
            f"cannot {doing}: {caller.name!r} has no permission {permission!r} on {outside[0]!r}",
            element=permission,
            hint="'corral can-i --list' shows where you have what",
        )
