"""Reading the audit record, newest first, and one entry with its seal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from corral.domain.errors import Invalid
from corral.domain.ids import check_node_id, check_object_id
from corral.server.application.ports.access import NO_FILTER, AuditEntry, AuditFilter, AuditLog, Caller

LIMIT_MAX: Final = 500
OUTCOMES: Final = ("ok", "failed", "denied", "unauthenticated", "asked")


class AuditQueries:
    def __init__(self, *, log: AuditLog) -> None:
        self._log = log

    async def list(
        self, caller: Caller, *, limit: int = 50, cursor: str | None = None, only: AuditFilter = NO_FILTER
    ) -> tuple[Sequence[tuple[int, AuditEntry]], str | None]:
        """A page and the cursor of the next one, None at the end."""
        if not 1 <= limit <= LIMIT_MAX:
            raise Invalid(f"cannot list {limit} entries: expected 1 to {LIMIT_MAX}", element="limit", hint="page on")
        if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
            raise Invalid(f"cannot continue at {cursor[:40]!r}", element="cursor", hint="use `next` of the last page")
        if only.outcome is not None and only.outcome not in OUTCOMES:
            raise Invalid(
                f"cannot filter by outcome {only.outcome[:40]!r}: expected one of {', '.join(OUTCOMES)}",
                element="outcome",
            )
        if only.job is not None:
            check_object_id(only.job, "J", element="job")
        if only.node is not None:
            check_node_id(only.node, element="node")
        rows = await self._log.list(limit=limit + 1, before=None if cursor is None else int(cursor), only=only)
        page = rows[:limit]
        return page, str(page[-1][0]) if len(rows) > limit else None

    async def get(self, caller: Caller, entry: int) -> AuditEntry:
        """Raises NotFound."""
        return await self._log.get(entry)
