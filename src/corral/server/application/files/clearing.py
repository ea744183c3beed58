"""Pruning revisions: all or nothing, and never what somebody still needs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from corral.domain.artifact import Revision, check_source_path, clear
from corral.domain.artifact_use import still_used
from corral.server.application.access.scope import require_everywhere
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
        require_everywhere(caller, "file.write", "clear revisions that others may use")
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
                users = {uses[(r.source_path, r.revision)] for r in held}
                raise still_used(held[0].source_path, held[0].revision, users, len(held) - 1)
            # Rows first: a revision without bytes would be offered; bytes without a revision only take room. A job that was
            # submitted since then is found there again: it holds the row of its revision until it is committed.
            for digest in await self._revisions.remove([(r.source_path, r.revision) for r in gone]):
                await self._blobs.delete(digest)
        return gone
