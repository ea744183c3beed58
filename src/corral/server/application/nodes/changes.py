"""Who wants to hear of changed nodes. A slow listener gets the newest state of each node, never a growing queue.

Pending changes are kept by node id, so one subscription holds at most one entry a node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from corral.domain.node import Node


class Subscription:
    """One listener. `next` waits for changes and hands over all that gathered: id → node, None = removed."""

    def __init__(self, owner: Changes) -> None:
        self._owner = owner
        self._pending: dict[str, Node | None] = {}
        self._wake = asyncio.Event()

    def put(self, node: str, state: Node | None) -> None:
        self._pending[node] = state
        self._wake.set()

    async def next(self) -> Mapping[str, Node | None]:
        await self._wake.wait()
        self._wake.clear()
        pending, self._pending = self._pending, {}
        return pending

    def close(self) -> None:
        self._owner.leave(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Changes:
    """The listeners of one registry."""

    def __init__(self) -> None:
        self._listeners: set[Subscription] = set()

    def __len__(self) -> int:
        return len(self._listeners)

    def subscribe(self) -> Subscription:
        subscription = Subscription(self)
        self._listeners.add(subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        self._listeners.discard(subscription)

    def tell(self, node: str, state: Node | None) -> None:
        for listener in self._listeners:
            listener.put(node, state)
