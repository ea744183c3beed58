"""When a node was there: the log of its presence as stretches of time, the newest one as it is now."""

from __future__ import annotations

from collections.abc import Sequence

from corral.domain.presence_log import Stretch, now_of, stretches
from corral.server.application.nodes.registry import Registry
from corral.server.application.nodes.sight import NodeSight
from corral.server.application.ports.access import Caller
from corral.server.application.ports.nodes import PresenceLog


class Timeline:
    def __init__(self, *, fleet: Registry, log: PresenceLog) -> None:
        self._fleet = fleet
        self._log = log

    async def read(
        self, caller: Caller, node: str, *, limit: int, cursor: str | None = None
    ) -> tuple[Sequence[Stretch], str | None]:
        """Newest first, and the cursor of what is older. Raises NotFound outside the caller's grants, Invalid for a foreign cursor.

        The log is written now and then: what is true now comes from the registry, so it is never behind.
        """
        known = NodeSight(self._fleet).get(caller, node)
        page = await self._log.read(node, limit=limit, cursor=cursor)
        changes = list(page.items)
        is_now = now_of(known)
        if cursor is None and is_now is not None and (not changes or changes[0].at < is_now.at):
            changes.insert(0, is_now)
        return stretches(changes, page.until), page.next
