"""Port ReviewConnections over the stored connections: their engine, and the levels of their option `review`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from corral.domain.errors import NotFound
from corral.server.application.ports.access import Caller
from corral.server.application.ports.connections import ConnectionStore
from corral.server.application.ports.review import ReviewSettings
from corral.server.application.review.rules import check_levels

OPTION: Final = "review"


class StoredReviewConnections:
    """Who may use a connection is not asked here: nothing of it is shown but how severe its rules are."""

    def __init__(self, store: ConnectionStore) -> None:
        self._store = store

    async def review_settings(self, caller: Caller, connection: str) -> ReviewSettings | None:
        try:
            found = await self._store.get(connection)
        except NotFound:
            return None
        return ReviewSettings(engine=found.engine, levels=levels_of(found.options))


def levels_of(options: Mapping[str, Any]) -> dict[str, str]:
    """`review: {rule: level}`, or the same flat: `review.rule: level`. Raises Invalid."""
    nested = options.get(OPTION) or {}
    flat = {name.partition(".")[2]: value for name, value in options.items() if name.startswith(OPTION + ".")}
    return {
        name: level.value
        for name, level in check_levels({**(nested if isinstance(nested, Mapping) else {}), **flat}).items()
    }
