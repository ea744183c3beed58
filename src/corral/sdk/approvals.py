"""Approvals: what waits for a second person, the decision, and the rules that ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from corral.sdk.api import Api, part

Row = Mapping[str, Any]


class Approvals:
    """`fleet.approvals`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def list(self, *, states: Sequence[str] = (), limit: int | None = 50) -> Sequence[Row]:
        return await self._api.pages("/approvals", query={"states": tuple(states) or None}, limit=limit)

    async def show(self, approval: str) -> Row:
        found: Row = await self._api.call("GET", f"/approvals/{part(approval)}")
        return found

    async def decide(self, approval: str, *, approve: bool, note: str = "") -> Row:
        """Raises Denied for the one who asked."""
        body = {"approve": approve, "note": note}
        found: Row = await self._api.call("POST", f"/approvals/{part(approval)}/decision", body=body)
        return found

    async def rules(self) -> Sequence[Row]:
        found: Sequence[Row] = await self._api.call("GET", "/approval-rules")
        return found

    async def set_rule(self, name: str, **fields: Any) -> Row:
        """`fields` are those of PUT /approval-rules."""
        given = {key: value for key, value in fields.items() if value is not None}
        found: Row = await self._api.call("PUT", f"/approval-rules/{part(name)}", body=given)
        return found

    async def delete_rule(self, name: str) -> None:
        await self._api.call("DELETE", f"/approval-rules/{part(name)}")
