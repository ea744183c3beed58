"""Nodes and the tokens that enrol them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from corral.sdk.api import Api, part
from corral.sdk.models import JoinToken, Node, Preview


class Nodes:
    """`fleet.nodes`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def list(
        self, selector: str | None = None, *, presence: str | None = None, limit: int | None = None
    ) -> list[Node]:
        """Nodes by id; `presence` is online, offline or unknown."""
        rows = await self._api.pages("/nodes", query={"selector": selector, "presence": presence}, limit=limit)
        return [Node.from_json(row) for row in rows]

    async def get(self, node: str) -> Node:
        return Node.from_json(await self._api.call("GET", f"/nodes/{part(node)}"))

    async def resolve(self, selector: str) -> Preview:
        """Whom a selector picks now. Raises BadSelector or NothingMatched."""
        return Preview.from_json(await self._api.call("POST", "/nodes/resolve", body={"selector": selector}))

    async def explain(self, selector: str, node: str) -> dict[str, Any]:
        """{"matches", "clauses": [{"text", "value"}]}: which clause picks or excludes the node."""
        body = {"selector": selector, "node": node}
        answer: dict[str, Any] = await self._api.call("POST", "/nodes/explain", body=body)
        return answer

    async def set(
        self,
        node: str,
        *,
        labels: Mapping[str, str | None] | None = None,
        groups: Sequence[str] | None = None,
        add_groups: Sequence[str] | None = None,
        remove_groups: Sequence[str] | None = None,
        if_version: int | None = None,
    ) -> Node:
        """Merge labels (None removes one); replace all groups, or add and remove some. `if_version`: Conflict when it changed meanwhile."""
        headers = {} if if_version is None else {"If-Match": str(if_version)}
        body = _changes(labels, groups=groups, add_groups=add_groups, remove_groups=remove_groups)
        return Node.from_json(await self._api.call("PATCH", f"/nodes/{part(node)}", body=body, headers=headers))

    async def set_all(
        self,
        selector: str,
        *,
        labels: Mapping[str, str | None] | None = None,
        groups: Sequence[str] | None = None,
        add_groups: Sequence[str] | None = None,
        remove_groups: Sequence[str] | None = None,
    ) -> Sequence[Node]:
        """The same for every node a selector picks."""
        changes = _changes(labels, groups=groups, add_groups=add_groups, remove_groups=remove_groups)
        body = {"selector": selector, **changes}
        return [Node.from_json(row) for row in await self._api.call("PATCH", "/nodes", body=body) or ()]

    async def remove(self, node: str, *, force: bool = False) -> None:
        """Forget the node and cut its connection. Conflict says what still uses it."""
        await self._api.call("DELETE", f"/nodes/{part(node)}", query={"force": force})

    async def revoke(self, node: str, reason: str) -> None:
        """Cut the node off now; it stays listed and may come back after a reset."""
        await self._api.call("POST", f"/nodes/{part(node)}/revoke", body={"reason": reason})

    async def reset(self, node: str) -> None:
        """Allow a known id to enrol again with another key."""
        await self._api.call("POST", f"/nodes/{part(node)}/reset", body={})

    async def metrics(self, node: str) -> Sequence[dict[str, Any]]:
        """The samples of the last hour: [{"at", "values"}]."""
        answer = await self._api.call("GET", f"/nodes/{part(node)}/metrics")
        return list(answer.get("samples") or ())

    async def presence(self, node: str, *, limit: int | None = None) -> Sequence[dict[str, Any]]:
        """When the node was there, newest first: [{"presence", "worker", "since", "until", "reason"}]; `until` None goes on."""
        return await self._api.pages(f"/nodes/{part(node)}/presence", limit=limit)

    async def status(self, node: str) -> dict[str, Any]:
        """What the node's agent says of itself right now."""
        answer: dict[str, Any] = await self._api.call("GET", f"/nodes/{part(node)}/status")
        return answer

    async def watch(self) -> AsyncGenerator[Node, None]:
        """Nodes as they change, for ever."""
        async with aclosing(self._api.stream("/nodes/events")) as events:
            async for event in events:
                if event.event == "node":
                    yield Node.from_json(json.loads(event.data))


class Tokens:
    """`fleet.tokens`: join tokens."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def create(
        self,
        *,
        uses: int | None = None,
        ttl_seconds: float | None = None,
        labels: Mapping[str, str] | None = None,
        groups: Sequence[str] | None = None,
        node_id: str | None = None,
    ) -> JoinToken:
        """The answer holds the secret, once."""
        body: dict[str, Any] = {"uses": uses, "ttl_seconds": ttl_seconds, "node_id": node_id}
        body |= {"labels": dict(labels) if labels else None, "groups": list(groups) if groups else None}
        given = {key: value for key, value in body.items() if value is not None}
        return JoinToken.from_json(await self._api.call("POST", "/tokens", body=given))

    async def list(self) -> list[JoinToken]:
        return [JoinToken.from_json(row) for row in await self._api.pages("/tokens")]

    async def revoke(self, token: str) -> None:
        await self._api.call("DELETE", f"/tokens/{part(token)}")


def _changes(labels: Mapping[str, str | None] | None, **groups: Sequence[str] | None) -> dict[str, Any]:
    out: dict[str, Any] = {} if labels is None else {"labels": dict(labels)}
    return out | {name: list(given) for name, given in groups.items() if given is not None}
