"""Pruning revisions: all or nothing, and never what somebody still needs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from corral.domain.artifact import Revision, check_source_path, clear
from corral.domain.errors import Conflict
from corral.server.application.ports.access import Caller
from corral.server.application.ports.files import Blobs, Key, RevisionStore, Usage


class Clearing:
    """Use case. `usages`: everybody who may need a revision (open jobs, rollouts under way)."""

    def __init__(self, *, revisions: RevisionStore, blobs: Blobs, usages: Sequence[Usage], alone: asyncio.Lock) -> None:
        self._revisions = revisions
        self._blobs = blobs
        self._usages = usages
        self._alone = alone

    async def clear(
        self, caller: Caller, *, source_path: str | None = None, keep: int | None = None, unused: bool = False
    ) -> list[Revision]:
        """What was removed. Raises Invalid when it is not said what goes, Conflict (and removes nothing) when some is in use."""
        if source_path is not None:
            check_source_path(source_path)
            await self._revisions.get(source_path)
        async with self._alone:
            uses: dict[Key, str] = {}
            for usage in self._usages:
                uses |= await usage.in_use()
            gone, held = clear(
                await self._revisions.all(source_path),
                keep=keep,
                unused=unused,
                in_use=uses.keys(),
                referenced=await self._revisions.ever_applied(source_path) if unused else frozenset(),
            )
            if held:
                users = sorted({uses[(r.source_path, r.revision)] for r in held})
                first = held[0]
                raise Conflict(
                    f"cannot clear: revision {first.revision} of {first.source_path!r}"
                    + (f" and {len(held) - 1} more are" if len(held) > 1 else " is")
                    + f" in use by {', '.join(users[:5])}",
                    element="revision",
                    hint="wait for it, or cancel it, then clear again",
                )
            # Rows first: a revision without bytes would be offered; bytes without a revision only take room.
            for digest in await self._revisions.remove([(r.source_path, r.revision) for r in gone]):
                await self._blobs.delete(digest)
        return gone
