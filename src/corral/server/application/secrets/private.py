"""What a spec only names, looked up in the moment a task is sent: the values of its secrets, and its connection with credentials.

What is found is kept for a few seconds, opened only here and given to one message; what is not found is left out, and the node says
which one it misses. A server hears at once of what it changed itself, and within CACHE_SECONDS of what another one did.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any, Final

from corral.domain.connection import Connection
from corral.domain.errors import CorralError, NotFound
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.job import TaskSpec
from corral.domain.kinds import secret_names
from corral.domain.secret import fill, references
from corral.runtime.clock import Clock
from corral.server.application.ports.connections import ConnectionStore
from corral.server.application.ports.secrets import Cipher, MasterKey, SecretStore
from corral.server.application.secrets.book import context_of

CACHE_SECONDS: Final = 2.0
_SENT: Final = ("name", "engine", "host", "port", "database", "user", "tls", "options")

log = logging.getLogger("corral.secrets")


class PrivateParts:
    def __init__(
        self,
        *,
        secrets: SecretStore,
        connections: ConnectionStore,
        master: MasterKey,
        cipher: Cipher,
        clock: Clock,
    ) -> None:
        self._secrets = secrets
        self._connections = connections
        self._master = master
        self._cipher = cipher
        self._clock = clock
        self._kept: dict[str, tuple[float, str]] = {}

    def forget(self, name: str) -> None:
        self._kept.pop(name, None)

    async def of(self, spec: TaskSpec) -> Mapping[str, Any]:
        """{"secrets": {NAME: value}, "connection": {…}}, each only where the spec names some."""
        out: dict[str, Any] = {}
        connection = None
        if isinstance(spec, ExecutorSpec) and spec.connection is not None:
            try:
                connection = await self._connections.get(spec.connection)
            except NotFound:
                log.warning("Connection %r of a waiting task is gone", spec.connection, extra={"action": "private"})
        names = secret_names(spec)
        values = await self._values(names | _names_of(connection))
        if names:
            out["secrets"] = {name: values[name] for name in sorted(names) if name in values}
        if connection is not None:
            out["connection"] = _with_credentials(connection, values)
        return out

    async def _values(self, names: Collection[str]) -> dict[str, str]:
        now = self._clock.monotonic()
        self._kept = {name: kept for name, kept in self._kept.items() if kept[0] > now}
        missing = [name for name in names if name not in self._kept]
        for sealed in await self._secrets.sealed(missing) if missing else ():
            context = context_of(sealed.name, sealed.version)
            try:
                key = self._master.open(sealed.key, context=context)
                value = self._cipher.open(sealed.value, key, context=context).decode()
            except CorralError as error:
                log.error("Cannot open secret %r: %s", sealed.name, error, extra={"action": "private"})
                continue
            self._kept[sealed.name] = (now + CACHE_SECONDS, value)
        return {name: self._kept[name][1] for name in names if name in self._kept}


def _names_of(connection: Connection | None) -> frozenset[str]:
    if connection is None:
        return frozenset()
    own = frozenset({connection.password_secret}) if connection.password_secret else frozenset[str]()
    return own | references(dict(connection.tls)) | references(dict(connection.options))


def _with_credentials(connection: Connection, values: Mapping[str, str]) -> dict[str, Any]:
    whole = asdict(connection)
    out = {key: whole[key] for key in _SENT if whole[key] not in (None, "", {})}
    for part in ("tls", "options"):
        if part in out:
            # one that is missing stays a reference: the executor then fails, naming it
            out[part] = fill(out[part], _Known(values))
    if connection.password_secret in values:
        out["password"] = values[connection.password_secret]
    return out


class _Known(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return f"{{{{ secret.{name} }}}}"
