"""Reading the audit record, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from corral.domain.errors import Invalid
from corral.server.application.ports.access import AuditEntry, AuditLog, Caller

LIMIT_MAX: Final = 500


class AuditQueries:
    def __init__(self, *, log: AuditLog) -> None:
        self._log = log

    async def list(
        self, caller: Caller, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[Sequence[tuple[int, AuditEntry]], str | None]:
        """A page and the cursor of the next one, None at the end."""
        if not 1 <= limit <= LIMIT_MAX:
            raise Invalid(f"cannot list {limit} entries: expected 1 to {LIMIT_MAX}", element="limit", hint="page on")
        if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
            raise Invalid(f"cannot continue at {cursor[:40]!r}", element="cursor", hint="use `next` of the last page")
        rows = await self._log.list(limit=limit + 1, before=None if cursor is None else int(cursor))
        page = rows[:limit]
        return page, str(page[-1][0]) if len(rows) > limit else None
