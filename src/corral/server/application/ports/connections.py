"""Port of the connections room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from corral.domain.connection import Connection


class ConnectionStore(Protocol):
    async def put(self, connection: Connection, *, if_match: int | None = None) -> Connection:
        """Make or replace it; returns it with its new resource_version. Raises Conflict when it is not at `if_match` (0 = new)."""
        ...

    async def get(self, name: str) -> Connection:
        """Raises NotFound."""
        ...

    async def list(self) -> Sequence[Connection]: ...

    async def delete(self, name: str) -> None:
        """Raises NotFound."""
        ...
