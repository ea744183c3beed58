"""The command policy: its rules, its mode, and what it would say of a command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from corral.sdk.api import Api, part

Row = Mapping[str, Any]


class Policy:
    """`fleet.policy`. Every change answers with the whole policy; `if_match`: only at that revision."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def get(self) -> Row:
        found: Row = await self._api.call("GET", "/policy")
        return found

    async def replace(self, rules: Sequence[Row], *, mode: str | None = None, if_match: int | None = None) -> Row:
        """The whole list, in order."""
        body: dict[str, Any] = {"rules": [dict(rule) for rule in rules]}
        if mode is not None:
            body["mode"] = mode
        return await self._change("PUT", "/policy", body, if_match)

    async def ship(self, *, if_match: int | None = None) -> Row:
        """Begin again with the deny list the server's release ships."""
        return await self._change("PUT", "/policy", {"shipped": True}, if_match)

    async def put(self, rule: Row, *, position: int | None = None, if_match: int | None = None) -> Row:
        """Add a rule, or replace the one of its id."""
        body = {key: value for key, value in rule.items() if key != "id"}
        if position is not None:
            body["position"] = position
        return await self._change("PUT", f"/policy/rules/{part(str(rule['id']))}", body, if_match)

    async def move(self, rule: str, position: int, *, if_match: int | None = None) -> Row:
        return await self._change("POST", f"/policy/rules/{part(rule)}/move", {"position": position}, if_match)

    async def remove(self, rule: str, *, if_match: int | None = None) -> Row:
        return await self._change("DELETE", f"/policy/rules/{part(rule)}", None, if_match)

    async def set_mode(self, mode: str, *, if_match: int | None = None) -> Row:
        """deny-list or allow-list."""
        return await self._change("PUT", "/policy/mode", {"mode": mode}, if_match)

    async def test(self, **command: Any) -> Row:
        """What would be decided about argv, shell or script (with `target` and `role`), and what was seen. Runs nothing."""
        given = {key: value for key, value in command.items() if value is not None}
        found: Row = await self._api.call("POST", "/policy/test", body=given)
        return found

    async def _change(self, method: str, path: str, body: Mapping[str, Any] | None, if_match: int | None) -> Row:
        headers = {} if if_match is None else {"If-Match": str(if_match)}
        found: Row = await self._api.call(method, path, body=body, headers=headers)
        return found
