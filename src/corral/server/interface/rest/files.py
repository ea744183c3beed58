"""The files routes: decode, one use case, encode."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Request
from litestar.params import QueryParameter
from litestar.response import Stream

from corral.domain.artifact import Archive
from corral.server.application.files.room import FileRoom
from corral.server.application.files.uploads import PART_BYTES_MAX
from corral.server.application.ports.access import Caller
from corral.server.interface.rest.envelope import Envelope, ok
from corral.server.interface.rest.files_types import (
    ClearBody,
    ClearedView,
    DiffView,
    OffsetView,
    PlacementView,
    RevisionView,
    UploadBody,
    UploadView,
    diff_view,
    placement_view,
    revision_view,
    upload_view,
)
from corral.server.interface.rest.route import Route

From = Annotated[int, QueryParameter(name="from")]
TAGS: Final = ("files",)


async def begin(files: FileRoom, caller: Caller, data: UploadBody) -> Envelope[UploadView]:
    """Announce an upload. When `known`, commit it without sending anything."""
    begun = await files.uploads.begin(
        caller,
        source_path=data.source_path,
        size=data.size,
        digest=data.sha256,
        mode=data.mode or "",
        archive=data.archive or Archive.NONE,
    )
    return ok(upload_view(begun.upload, known=begun.known))


async def append(
    files: FileRoom, caller: Caller, request: Request[Any, Any, Any], upload: str, offset: int
) -> Envelope[OffsetView]:
    """Send the next part, as application/octet-stream. 409 when `offset` is not where the upload stands."""
    return ok(OffsetView(offset=await files.uploads.append(caller, upload, offset, await request.body())))


async def show_upload(files: FileRoom, caller: Caller, upload: str) -> Envelope[UploadView]:
    """Where an upload stands: go on at its offset."""
    return ok(upload_view(await files.uploads.get(caller, upload), known=False))


async def commit(files: FileRoom, caller: Caller, upload: str) -> Envelope[RevisionView]:
    """Check the bytes and make them a revision, or find that the newest one is the same."""
    return ok(revision_view(await files.uploads.commit(caller, upload)))


async def artifacts(
    files: FileRoom, caller: Caller, limit: int = 50, cursor: str | None = None
) -> Envelope[list[RevisionView]]:
    """The newest revision of each artifact."""
    page = await files.revisions.artifacts(caller, limit=limit, cursor=cursor)
    return ok([revision_view(item) for item in page.items], next=page.next)


async def history(
    files: FileRoom, caller: Caller, source_path: str, limit: int = 50, cursor: str | None = None
) -> Envelope[list[RevisionView]]:
    """The revisions of one artifact, the newest first."""
    page = await files.revisions.history(caller, source_path, limit=limit, cursor=cursor)
    return ok([revision_view(item) for item in page.items], next=page.next)


async def placements(
    files: FileRoom,
    caller: Caller,
    source_path: str,
    revision: int = 0,
    limit: int = 200,
    cursor: str | None = None,
) -> Envelope[list[PlacementView]]:
    """Where revisions are now, by node, as Corral last put them there; of one revision, or of all."""
    page = await files.whereabouts.of(caller, source_path, revision=revision, limit=limit, cursor=cursor)
    return ok([placement_view(item) for item in page.items], next=page.next)


async def on_node(
    files: FileRoom, caller: Caller, node: str, limit: int = 200, cursor: str | None = None
) -> Envelope[list[PlacementView]]:
    """What is on a node, as Corral last put it there."""
    page = await files.whereabouts.on(caller, node, limit=limit, cursor=cursor)
    return ok([placement_view(item) for item in page.items], next=page.next)


async def content(files: FileRoom, caller: Caller, source_path: str, revision: int = 0) -> Stream:
    """The exact bytes of a revision (0 or none = the newest)."""
    found, chunks = await files.revisions.content(caller, source_path, revision)
    headers = {
        "Content-Length": str(found.size),
        "Content-Disposition": "attachment",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Corral-Revision": str(found.revision),
        "Corral-Digest": found.digest,
    }
    return Stream(chunks, media_type="application/octet-stream", headers=headers)


async def diff(files: FileRoom, caller: Caller, source_path: str, since: From = 0, to: int = 0) -> Envelope[DiffView]:
    """How revision `from` (0 = the one before) differs from `to` (0 = the newest)."""
    return ok(diff_view(await files.revisions.diff(caller, source_path, since, to)))


async def clear(files: FileRoom, caller: Caller, data: ClearBody) -> Envelope[ClearedView]:
    """Remove revisions; 409, and nothing removed, when one of them is in use."""
    gone = await files.clearing.clear(caller, source_path=data.source_path, keep=data.keep, unused=data.unused)
    return ok(ClearedView(removed=[revision_view(item) for item in gone]))


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="POST",
        path="/artifacts/uploads",
        permission="file.write",
        handler=begin,
        summary="Begin an upload",
        tags=TAGS,
    ),
    Route(
        method="PUT",
        path="/artifacts/uploads/{upload:str}",
        permission="file.write",
        handler=append,
        summary="Send a part of an upload",
        tags=TAGS,
        octets=True,
        body_max_bytes=PART_BYTES_MAX,
    ),
    Route(
        method="GET",
        path="/artifacts/uploads/{upload:str}",
        permission="file.write",
        handler=show_upload,
        summary="Where an upload stands",
        tags=TAGS,
    ),
    Route(
        method="POST",
        path="/artifacts/uploads/{upload:str}/commit",
        permission="file.write",
        handler=commit,
        summary="Make an upload a revision",
        tags=TAGS,
    ),
    Route(
        method="GET",
        path="/artifacts",
        permission="file.read",
        handler=artifacts,
        summary="List artifacts",
        tags=TAGS,
    ),
    Route(
        method="GET",
        path="/artifacts/revisions",
        permission="file.read",
        handler=history,
        summary="The revisions of an artifact",
        tags=TAGS,
    ),
    Route(
        method="GET",
        path="/artifacts/placements",
        permission="file.read",
        handler=placements,
        summary="Where revisions are now",
        tags=TAGS,
    ),
    Route(
        method="GET",
        path="/nodes/{node}/files",
        permission="file.read",
        handler=on_node,
        summary="What files a node has",
        tags=TAGS,
    ),
    Route(
        method="GET",
        path="/artifacts/content",
        permission="file.read",
        handler=content,
        summary="The bytes of a revision",
        tags=TAGS,
        audit=True,
        raw=True,
    ),
    Route(
        method="GET",
        path="/artifacts/diff",
        permission="file.read",
        handler=diff,
        summary="How two revisions differ",
        tags=TAGS,
    ),
    Route(
        method="POST",
        path="/artifacts/clear",
        permission="file.write",
        handler=clear,
        summary="Remove revisions",
        tags=TAGS,
    ),
)
