"""What is shipped to nodes: source paths, revisions, the spec of a file task, and what may be pruned. Pure.

A source path names an artifact. Each new content under it is a revision, counted from 1 and never changed; the bytes are known by
their SHA-256, so equal bytes are stored once. A FileSpec says what one task does with a path on a node. As the truth holds it the
spec names digest and size; `blob` (where the sealed bytes lie, and their key) is only put in on the way to a node.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from corral.domain.errors import Invalid

SEALED_CHUNK_BYTES: Final = 128 << 10
PLAIN_CHUNK_BYTES: Final = SEALED_CHUNK_BYTES - 16
"""What one sealed chunk holds: AES-GCM adds 16 bytes, and a sealed chunk is exactly one message of the bucket."""
BLOB_CONTEXT: Final = b"corral-blob-v1\n"
"""Bound to every sealed chunk, followed by the digest of the whole: a chunk of another blob does not open."""
ARTIFACT_BYTES_MAX: Final = 64 << 30
SOURCE_CHARS_MAX: Final = 512
PATH_BYTES_MAX: Final = 4095
TEXT_CHARS_MAX: Final = 4096
BANDWIDTH_MIN: Final = 16 << 10
_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")
_NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}\$?"
_OWNER: Final = re.compile(rf"(?:{_NAME})?(?::(?:{_NAME})?)?\Z")
_MODE: Final = re.compile(r"0?[0-7]{3,4}\Z")


class FileOp(StrEnum):
    """`copy` works between two paths of the node; `rollback` goes to what this node itself had before; the rest is as named."""

    APPLY = "apply"
    FETCH = "fetch"
    PREVIEW = "preview"
    COPY = "copy"
    DELETE = "delete"
    ROLLBACK = "rollback"


class Archive(StrEnum):
    """How the bytes of a revision become a directory on the node; NONE = they are one file."""

    NONE = ""
    TAR = "tar"
    ZIP = "zip"


@dataclass(frozen=True, kw_only=True)
class Blob:
    """Where sealed bytes lie (`nuid` in bucket artifacts, in `chunks` messages) and the AES-256 key that opens them."""

    nuid: str
    key: bytes
    chunks: int


@dataclass(frozen=True, kw_only=True)
class FileSpec:
    """What a file task does on each node. `dest` is the path there; `source` names the artifact (for copy: a path on the node).

    `dest`, and the content when `template`, may hold {{ node.id }}, {{ facts.x }} and {{ labels.x }}. `revision` 0 = the newest,
    which the server replaces by its number. Sizes are bytes, times seconds, `bandwidth` bytes a second (0 = no limit) on each node,
    `job_bandwidth` on all that work at once together: each gets an even share of it, set at submission (artifact_use.shared_out).
    """

    op: FileOp
    dest: str
    source: str = ""
    revision: int = 0
    digest: str = ""
    size: int = 0
    blob: Blob | None = None
    owner: str = ""
    mode: str = ""
    backup: bool = True
    dry_run: bool = False
    diff: bool = False
    template: bool = False
    validate: str = ""
    notify: str = ""
    archive: Archive = Archive.NONE
    bandwidth: int = 0
    job_bandwidth: int = 0
    recursive: bool = False
    timeout_seconds: float = 300.0
    grace_seconds: float = 5.0
    max_output_bytes: int = 64 << 20

    @property
    def wants_labels(self) -> bool:
        return self.template or "{{" in self.dest


@dataclass(frozen=True, kw_only=True)
class Revision:
    """One immutable version of an artifact. `missing`: the engine lost the bytes; an upload of the same digest brings them back."""

    source_path: str
    revision: int
    digest: str
    size: int
    created_at: datetime
    created_by: str
    mode: str = ""
    archive: Archive = Archive.NONE
    missing: bool = False


def chunk_count(size: int) -> int:
    """Sealed chunks of so many plain bytes; an empty file has none."""
    return -(-size // PLAIN_CHUNK_BYTES)


def check_source_path(value: str, *, element: str = "source_path") -> str:
    """Return `value` if it can name an artifact; raise Invalid otherwise."""
    parts = value.split("/")
    if parts[0] == "" and len(parts) > 1:
        parts = parts[1:]
    if (
        not 0 < len(value) <= SOURCE_CHARS_MAX
        or not value.isprintable()
        or any(part in ("", ".", "..") for part in parts)
    ):
        raise Invalid(
            f"cannot use {value[:80]!r} as a source path: expected printable names joined by single '/', without '.' or '..'",
            element=element,
            hint="example: nginx/nginx.conf",
        )
    return value


def check_digest(value: str, *, element: str = "sha256") -> str:
    if _DIGEST.match(value) is None:
        raise Invalid(
            f"cannot use {value[:80]!r} as a SHA-256: expected 64 digits 0-9 and a-f",
            element=element,
            hint="sha256sum FILE prints it",
        )
    return value


def check_mode(value: str) -> str:
    if value and _MODE.match(value) is None:
        raise Invalid(
            f"cannot use {value[:20]!r} as a mode: expected three or four octal digits",
            element="mode",
            hint="--mode 0644",
        )
    return value


def check_file(spec: FileSpec) -> None:
    """Raise Invalid naming the field, the value, what was expected and the remedy. Limits of time and output are the job's."""
    _check_path("dest", spec.dest)
    if spec.op is FileOp.APPLY:
        check_source_path(spec.source, element="source")
        if spec.digest:
            check_digest(spec.digest, element="digest")
    elif spec.op is FileOp.COPY:
        _check_path("source", spec.source)
    if spec.owner and (spec.owner == ":" or _OWNER.match(spec.owner) is None):
        raise Invalid(
            f"cannot use {spec.owner[:80]!r} as an owner: expected user, user:group or :group",
            element="owner",
            hint="--owner www-data:www-data",
        )
    check_mode(spec.mode)
    if spec.validate and "%s" not in spec.validate:
        raise Invalid(
            "cannot validate: the command holds no %s for the path of the new file",
            element="validate",
            hint="--validate 'visudo -cf %s'",
        )
    for element, text in (("validate", spec.validate), ("notify", spec.notify)):
        if len(text) > TEXT_CHARS_MAX or "\0" in text:
            raise Invalid(
                f"cannot use {element}: expected at most {TEXT_CHARS_MAX} characters, no NUL", element=element
            )
    if spec.revision < 0 or spec.size < 0:
        raise Invalid(f"cannot use revision {spec.revision}: they count from 1", element="revision")
    for element, rate in (("bandwidth", spec.bandwidth), ("job_bandwidth", spec.job_bandwidth)):
        if rate and rate < BANDWIDTH_MIN:
            raise Invalid(
                f"cannot limit to {rate} bytes a second: expected at least {BANDWIDTH_MIN}, or 0 for no limit",
                element=element,
                hint=f"--{element.replace('_', '-')} 10MiB",
            )
    if spec.archive is not Archive.NONE and (spec.template or spec.diff):
        what = "template" if spec.template else "diff"
        raise Invalid(
            f"cannot use {what} with an archive: it works on one text file",
            element=what,
            hint="apply the files one by one, or leave it out",
        )


def _check_path(element: str, path: str) -> None:
    if (
        not path.startswith("/")
        or not any(path.split("/"))
        or ".." in path.split("/")
        or any(c < " " or c == "\x7f" for c in path)
        or len(path.encode(errors="surrogatepass")) > PATH_BYTES_MAX
    ):
        raise Invalid(
            f"cannot use {path[:80]!r} as {element}: expected an absolute path on the node, without '..'",
            element=element,
            hint="--dest /etc/app/app.conf",
        )


_DEFAULTS: Final[Mapping[str, Any]] = {
    "source": "", "revision": 0, "digest": "", "size": 0, "owner": "", "mode": "", "backup": True, "dry_run": False,
    "diff": False, "template": False, "validate": "", "notify": "", "archive": "", "bandwidth": 0,
    "job_bandwidth": 0, "recursive": False,
}  # fmt: skip
FILE_KEYS: Final = frozenset({*_DEFAULTS, "op", "dest", "blob", "timeout", "grace", "max_output"})
"""Every key of the wire form."""


def as_mapping(spec: FileSpec) -> dict[str, Any]:
    """The wire and SQL form: what differs from its default, and the limits."""
    out: dict[str, Any] = {
        "op": spec.op.value,
        "dest": spec.dest,
        "timeout": spec.timeout_seconds,
        "grace": spec.grace_seconds,
        "max_output": spec.max_output_bytes,
    }
    for name, default in _DEFAULTS.items():
        value = getattr(spec, name)
        if value != default:
            out[name] = value.value if isinstance(value, Archive) else value
    if spec.blob is not None:
        key = base64.b64encode(spec.blob.key).decode()
        out["blob"] = {"nuid": spec.blob.nuid, "key": key, "chunks": spec.blob.chunks}
    return out


def from_mapping(data: Mapping[str, Any]) -> FileSpec:
    """The inverse of as_mapping; unknown keys are ignored, missing ones take the default.

    Raises Invalid for a value of the wrong kind, a missing `op` or `dest`, and an op that is not one of FileOp.
    """
    values: dict[str, Any] = {}
    for name, default in _DEFAULTS.items():
        value = data.get(name, default)
        if type(value) is not type(default):
            raise Invalid(f"cannot read the file spec: {str(value)[:40]!r} is no {name}", element=name)
        values[name] = value
    op, dest, blob = data.get("op"), data.get("dest"), data.get("blob")
    if op not in list(FileOp):
        raise Invalid(f"cannot read the file spec: there is no op {str(op)[:40]!r}", element="op")
    if values["archive"] not in list(Archive):
        raise Invalid(f"cannot read the file spec: there is no archive {values['archive'][:40]!r}", element="archive")
    if not isinstance(dest, str):
        raise Invalid("cannot read the file spec: it has no dest", element="dest")
    values["archive"] = Archive(values["archive"])
    return FileSpec(
        op=FileOp(op),
        dest=dest,
        blob=None if blob is None else _blob(blob),
        timeout_seconds=_number(data, "timeout", 300.0),
        grace_seconds=_number(data, "grace", 5.0),
        max_output_bytes=int(_number(data, "max_output", 64 << 20)),
        **values,
    )


def _number(data: Mapping[str, Any], name: str, default: float) -> float:
    value = data.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Invalid(f"cannot read the file spec: {str(value)[:40]!r} is no {name}", element=name)
    return value


def _blob(data: Any) -> Blob:
    try:
        nuid, chunks, key = data["nuid"], data["chunks"], base64.b64decode(data["key"], validate=True)
        # the nuid becomes the token of a subject
        if not nuid.isalnum() or type(chunks) is not int or chunks < 0 or len(key) != 32:
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Invalid("cannot read the file spec: its blob is not one", element="blob") from None
    return Blob(nuid=nuid, key=key, chunks=chunks)


def file_line(spec: FileSpec) -> str:
    """What the task does, for people."""
    if spec.op is FileOp.APPLY:
        how = " (dry run)" if spec.dry_run else ""
        return f"file apply {spec.source} r{spec.revision or 'newest'} → {spec.dest}{how}"
    if spec.op is FileOp.COPY:
        return f"file copy {spec.source} → {spec.dest}"
    return f"file {spec.op.value} {spec.dest}"


def as_asked(asked: FileSpec, stored: FileSpec) -> FileSpec:
    """`asked`, completed as `stored` was: to see whether a repeated submission is the same one."""
    return replace(
        asked,
        revision=asked.revision or stored.revision,
        digest=asked.digest or stored.digest,
        size=asked.size or stored.size,
        mode=asked.mode or stored.mode,
        archive=stored.archive if asked.archive is Archive.NONE else asked.archive,
        bandwidth=stored.bandwidth if asked.job_bandwidth else asked.bandwidth,
    )


def unchanged(newest: Revision | None, *, digest: str, mode: str, archive: Archive) -> bool:
    """Whether a commit would repeat the newest revision: then that one is the answer and nothing new is counted."""
    return newest is not None and (newest.digest, newest.mode, newest.archive) == (digest, mode, archive)


def clear(
    revisions: Iterable[Revision],
    *,
    keep: int | None,
    unused: bool,
    in_use: Collection[tuple[str, int]] = frozenset(),
    referenced: Collection[tuple[str, int]] = frozenset(),
) -> tuple[list[Revision], list[Revision]]:
    """(what goes, what would go but is in use), each newest first within its artifact.

    `keep` = all but so many of the newest of each artifact; `unused` = what no job ever applied (`referenced` says which ones one
    did), except the newest. Both = what both say. What an open job needs (`in_use`) never goes.
    """
    if keep is None and not unused:
        raise Invalid("cannot clear: say what", element="keep", hint="--keep N, or --unused")
    if keep is not None and keep < 0:
        raise Invalid(f"cannot keep {keep} revisions: expected 0 or more", element="keep", hint="--keep 5")
    by_path: dict[str, list[Revision]] = {}
    for revision in revisions:
        by_path.setdefault(revision.source_path, []).append(revision)
    gone: list[Revision] = []
    held: list[Revision] = []
    for path in sorted(by_path):
        for rank, revision in enumerate(sorted(by_path[path], key=lambda r: -r.revision)):
            key = (path, revision.revision)
            if keep is not None and rank < keep:
                continue
            if unused and (key in referenced or (rank == 0 and keep is None)):
                continue
            (held if key in in_use else gone).append(revision)
    return gone, held
