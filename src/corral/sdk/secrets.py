"""Secrets and connections: what specs name. Values of secrets go in and never come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from corral.sdk.api import Api, part

Row = Mapping[str, Any]


class Secrets:
    """`fleet.secrets`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def set(
        self, name: str, value: str | None, *, selector: str | None = None, description: str | None = None
    ) -> Row:
        """Give it a new value (None: keep it and change the rest). `selector`: the nodes that may get it."""
        body = {"value": value, "selector": selector, "description": description}
        given = {key: text for key, text in body.items() if text is not None}
        found: Row = await self._api.call("PUT", f"/secrets/{part(name)}", body=given)
        return found

    async def list(self) -> Sequence[Row]:
        found: Sequence[Row] = await self._api.call("GET", "/secrets")
        return found

    async def delete(self, name: str) -> None:
        await self._api.call("DELETE", f"/secrets/{part(name)}")

    async def rotate_master_key(self) -> int:
        """How many secrets were sealed anew."""
        return int((await self._api.call("POST", "/secrets/rotate-master-key", body={}))["secrets"])


class Connections:
    """`fleet.connections`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def set(self, name: str, *, if_match: int | None = None, **fields: Any) -> Row:
        """Make or replace it; `fields` are those of PUT /connections. `if_match`: only at that resource_version, 0 = only when new."""
        headers = {} if if_match is None else {"If-Match": str(if_match)}
        given = {key: value for key, value in fields.items() if value is not None}
        found: Row = await self._api.call("PUT", f"/connections/{part(name)}", body=given, headers=headers)
        return found

    async def show(self, name: str) -> Row:
        found: Row = await self._api.call("GET", f"/connections/{part(name)}")
        return found

    async def list(self) -> Sequence[Row]:
        found: Sequence[Row] = await self._api.call("GET", "/connections")
        return found

    async def delete(self, name: str) -> None:
        await self._api.call("DELETE", f"/connections/{part(name)}")
