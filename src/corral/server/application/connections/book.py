"""Use cases of connections: set, show, list, delete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from corral.domain.connection import Connection, check_connection
from corral.domain.selector.standing import check_standing
from corral.runtime.clock import Clock
from corral.server.application.ports.access import Caller
from corral.server.application.ports.connections import ConnectionStore
from corral.server.application.ports.secrets import SecretStore
from corral.server.application.secrets.book import no_secret


class ConnectionBook:
    def __init__(self, *, store: ConnectionStore, secrets: SecretStore, clock: Clock) -> None:
        self._store = store
        self._secrets = secrets
        self._clock = clock

    async def set(self, caller: Caller, connection: Connection, *, if_match: int | None = None) -> Connection:
        """Make or replace it. Raises Invalid, BadSelector, NotFound (its secret), Conflict."""
        check_connection(connection)
        check_standing(connection.selector)
        secret = connection.password_secret
        if secret and not await self._secrets.entries([secret]):
            raise no_secret(secret)
        stamped = replace(connection, changed_at=self._clock.now(), changed_by=caller.name)
        return await self._store.put(stamped, if_match=if_match)

    async def get(self, caller: Caller, name: str) -> Connection:
        return await self._store.get(name)

    async def list(self, caller: Caller) -> Sequence[Connection]:
        return await self._store.list()

    async def delete(self, caller: Caller, name: str) -> None:
        await self._store.delete(name)
