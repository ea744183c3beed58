"""What the files routes read and write. Times are RFC 3339 in UTC, sizes bytes, digests SHA-256 in hex."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from corral.domain.artifact import Archive, Revision
from corral.domain.placement import Placement
from corral.runtime.clock import iso
from corral.server.application.files.revisions import Difference
from corral.server.application.ports.files import Upload


class UploadBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is about to be sent. `mode`: permissions an apply gives the file when it names none."""

    source_path: str
    size: int
    sha256: str
    mode: str | None = None
    archive: Archive | None = None


class UploadView(msgspec.Struct, kw_only=True):
    """`offset` bytes are here; go on there. `known`: the server has these bytes already, commit at once."""

    upload: str
    source_path: str
    size: int
    sha256: str
    offset: int
    known: bool


class OffsetView(msgspec.Struct, kw_only=True):
    offset: int


class RevisionView(msgspec.Struct, kw_only=True):
    """One immutable version of an artifact. `missing`: the engine lost its bytes; upload the same file again to heal it."""

    source_path: str
    revision: int
    digest: str
    size: int
    mode: str
    archive: str
    created_at: str | None
    created_by: str
    missing: bool


class DiffView(msgspec.Struct, kw_only=True):
    """`text` is a unified diff; empty when `same`, and when `binary` (or too large to be shown)."""

    source_path: str
    old: RevisionView
    new: RevisionView
    same: bool
    binary: bool
    text: str


class ClearBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`keep`: all but so many of the newest of each artifact. `unused`: what no job ever applied, but the newest. Both: what both say."""

    source_path: str | None = None
    keep: int | None = None
    unused: bool = False


class PlacementView(msgspec.Struct, kw_only=True):
    """A node has this revision at `dest` since `at`. `digest` is that of the bytes there: of a template, what it became."""

    node: str
    dest: str
    source_path: str
    revision: int
    digest: str
    job: str
    at: str | None


class ClearedView(msgspec.Struct, kw_only=True):
    removed: list[RevisionView]


def upload_view(upload: Upload, *, known: bool) -> UploadView:
    return UploadView(
        upload=upload.id,
        source_path=upload.source_path,
        size=upload.size,
        sha256=upload.digest,
        offset=upload.offset,
        known=known,
    )


def revision_view(revision: Revision) -> RevisionView:
    return RevisionView(
        source_path=revision.source_path,
        revision=revision.revision,
        digest=revision.digest,
        size=revision.size,
        mode=revision.mode,
        archive=revision.archive.value,
        created_at=iso(revision.created_at),
        created_by=revision.created_by,
        missing=revision.missing,
    )


def diff_view(found: Difference) -> DiffView:
    return DiffView(
        source_path=found.new.source_path,
        old=revision_view(found.old),
        new=revision_view(found.new),
        same=found.same,
        binary=found.binary,
        text=found.text,
    )


def placement_view(placement: Placement) -> PlacementView:
    return PlacementView(
        node=placement.node,
        dest=placement.dest,
        source_path=placement.held.source_path,
        revision=placement.held.revision,
        digest=placement.held.digest,
        job=placement.job,
        at=iso(datetime.fromtimestamp(placement.at, UTC)),
    )
