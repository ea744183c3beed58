"""Roles, grants, and what one may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from corral.sdk.api import Api, part

Row = Mapping[str, Any]


class Roles:
    """`fleet.roles`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def list(self) -> Sequence[Row]:
        """The ready roles, then own ones."""
        found: Sequence[Row] = await self._api.call("GET", "/roles")
        return found

    async def show(self, name: str) -> Row:
        found: Row = await self._api.call("GET", f"/roles/{part(name)}")
        return found

    async def create(
        self, name: str, permissions: Sequence[str], *, description: str = "", max_nodes: int | None = None
    ) -> Row:
        body = {"name": name, "permissions": list(permissions), "description": description, "max_nodes": max_nodes}
        found: Row = await self._api.call("POST", "/roles", body=body)
        return found

    async def set(self, name: str, *, if_match: int | None = None, **fields: Any) -> Row:
        """Change `permissions`, `description` or `max_nodes` (None: no cap). `if_match`: only at that resource_version."""
        found: Row = await self._api.call("PATCH", f"/roles/{part(name)}", body=fields, headers=_match(if_match))
        return found

    async def delete(self, name: str, *, if_match: int | None = None) -> None:
        await self._api.call("DELETE", f"/roles/{part(name)}", headers=_match(if_match))

    async def grants(self, *, user: str | None = None, role: str | None = None) -> Sequence[Row]:
        """Oldest first; of `user` also what comes through groups."""
        found: Sequence[Row] = await self._api.call("GET", "/grants", query={"user": user, "role": role})
        return found

    async def grant(self, role: str, subject: str, *, selector: str = "all", group: bool = False) -> Row:
        """`subject` is a user's name, or with `group` a group's at the identity provider."""
        body = {
            "role": role,
            "subject": subject,
            "subject_kind": "group" if group else "user",
            "selector": selector,
        }
        found: Row = await self._api.call("POST", "/grants", body=body)
        return found

    async def revoke(self, grant: str) -> Row:
        """The grant that was."""
        found: Row = await self._api.call("DELETE", f"/grants/{part(grant)}")
        return found

    async def can_i(self, permission: str, selector: str | None = None, *, user: str | None = None) -> Row:
        """{"verdict": yes, some or no, "nodes", "outside", "grants", "why"}."""
        query = {"permission": permission, "selector": selector, "user": user}
        found: Row = await self._api.call("GET", "/can-i", query=query)
        return found

    async def held(self, *, user: str | None = None) -> Mapping[str, Sequence[str]]:
        """Permission → the selectors it holds on."""
        found: Row = await self._api.call("GET", "/can-i", query={"user": user})
        held: Mapping[str, Sequence[str]] = found["held"]
        return held


def _match(if_match: int | None) -> dict[str, str]:
    return {} if if_match is None else {"If-Match": str(if_match)}
