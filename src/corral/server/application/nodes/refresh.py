"""Keeps the registry true to SQL when another server wrote."""

from __future__ import annotations

import logging
from collections.abc import Callable

from corral.domain.errors import CorralError
from corral.runtime.clock import Clock
from corral.server.application.nodes.registry import Registry
from corral.server.application.ports.nodes import NodeStore

log = logging.getLogger("corral.nodes")


class RegistryRefresh:
    """A component: loads the registry before it is ready, and again every `every_seconds` (0 = never again)."""

    name = "registry"

    def __init__(self, *, registry: Registry, store: NodeStore, clock: Clock, every_seconds: float = 0.0) -> None:
        self._registry = registry
        self._store = store
        self._clock = clock
        self._every = every_seconds

    async def run(self, ready: Callable[[], None]) -> None:
        self._registry.load(await self._store.all())
        ready()
        while True:
            await self._clock.sleep(self._every or 3600.0)
            if not self._every:
                continue
            try:
                before = frozenset(self._registry.ids("all"))
                self._registry.load(await self._store.all(), known_before=before)
            except CorralError as error:
                log.warning("Cannot refresh the registry: %s", error, extra={"action": "registry_refresh_failed"})
