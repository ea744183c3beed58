"""Reading artifacts: lists, the exact bytes of a revision, and how two revisions differ."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from corral.domain.artifact import Revision, check_source_path
from corral.domain.errors import NotFound
from corral.server.application.ports.access import Caller
from corral.server.application.ports.files import Blobs, RevisionPage, RevisionStore

DIFF_BYTES_MAX: Final = 512 << 10
DIFF_LINES_MAX: Final = 10_000
"""A diff costs the product of its sides at worst: beyond this only "they differ" is said."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """`text` is a unified diff; empty when the revisions are `same`, or when `binary` or too large to be shown."""

    old: Revision
    new: Revision
    same: bool
    binary: bool
    text: str


class Revisions:
    """Use cases."""

    def __init__(self, *, revisions: RevisionStore, blobs: Blobs) -> None:
        self._revisions = revisions
        self._blobs = blobs

    async def artifacts(self, caller: Caller, *, limit: int = 50, cursor: str | None = None) -> RevisionPage:
        """The newest revision of each artifact, by source path."""
        return await self._seen(await self._revisions.artifacts(limit=limit, cursor=cursor))

    async def history(
        self, caller: Caller, source_path: str, *, limit: int = 50, cursor: str | None = None
    ) -> RevisionPage:
        """The newest first. Raises NotFound."""
        check_source_path(source_path)
        return await self._seen(await self._revisions.revisions(source_path, limit=limit, cursor=cursor))

    async def get(self, caller: Caller, source_path: str, revision: int = 0) -> Revision:
        """That revision, or the newest. Raises NotFound."""
        check_source_path(source_path)
        return (await self._marked([await self._revisions.get(source_path, revision)]))[0]

    async def content(
        self, caller: Caller, source_path: str, revision: int = 0
    ) -> tuple[Revision, AsyncIterator[bytes]]:
        """The exact bytes. Raises NotFound for an unknown revision, and for one whose bytes are missing."""
        found = await self.get(caller, source_path, revision)
        if found.missing:
            raise NotFound(
                f"cannot read revision {found.revision} of {source_path!r}: the engine has lost its bytes",
                element="revision",
                hint="upload the same file again",
            )
        return found, self._blobs.read(found.digest)

    async def diff(self, caller: Caller, source_path: str, old: int, new: int = 0) -> Difference:
        """From revision `old` to `new` (0 = the newest; an `old` of 0 = the one before `new`)."""
        to = await self.get(caller, source_path, new)
        before = await self._before(source_path, to) if old == 0 else await self.get(caller, source_path, old)
        if before.digest == to.digest:
            return Difference(old=before, new=to, same=True, binary=False, text="")
        texts = [await self._text(revision) for revision in (before, to)]
        if texts[0] is None or texts[1] is None:
            return Difference(old=before, new=to, same=False, binary=True, text="")
        names = [f"{source_path} r{revision.revision}" for revision in (before, to)]
        text = await asyncio.to_thread(unified, texts[0], texts[1], *names)
        return Difference(old=before, new=to, same=False, binary=False, text=text)

    async def _before(self, source_path: str, revision: Revision) -> Revision:
        for found in reversed(await self._revisions.all(source_path)):
            if found.revision < revision.revision:
                return found
        raise NotFound(
            f"cannot compare: revision {revision.revision} of {source_path!r} is the oldest one", element="revision"
        )

    async def _text(self, revision: Revision) -> str | None:
        if revision.size > DIFF_BYTES_MAX:
            return None
        data = b"".join([part async for part in self._blobs.read(revision.digest)])
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return None
        return None if "\0" in text or text.count("\n") > DIFF_LINES_MAX else text

    async def _seen(self, page: RevisionPage) -> RevisionPage:
        return RevisionPage(items=await self._marked(page.items), next=page.next)

    async def _marked(self, revisions: Sequence[Revision]) -> list[Revision]:
        missing = await self._blobs.missing({revision.digest for revision in revisions})
        return [replace(r, missing=True) if r.digest in missing else r for r in revisions]


def unified(old: str, new: str, old_name: str, new_name: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), old_name, new_name, lineterm="")
    return "\n".join(lines) + "\n"
