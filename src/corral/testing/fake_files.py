"""What a fake server knows of artifacts: uploads, revisions and their bytes; and what a file task does on a node."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from corral.domain.artifact import Archive, FileOp, FileSpec, check_file, file_line
from corral.domain.errors import Conflict, Invalid, NotFound
from corral.testing.fake_jobs import START, Act, iso_text


@dataclass
class FakeFiles:
    """`route` answers /artifacts…; `in_use` are (path, revision) that may not be cleared. Every part of an upload is in `parts`."""

    uploads: dict[str, dict[str, Any]] = field(default_factory=dict)
    revisions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    in_use: set[tuple[str, int]] = field(default_factory=set)
    parts: list[tuple[int, int]] = field(default_factory=list)

    def route(self, method: str, words: Sequence[str], query: Mapping[str, str], body: Any) -> Any:
        """The `data` of the answer: a list means a page, bytes a raw body. None = no such route."""
        match method, *words:
            case "POST", "artifacts", "uploads":
                return self._begin(body)
            case "PUT", "artifacts", "uploads", id:
                return self._append(self._upload(id), int(query["offset"]), body)
            case "GET", "artifacts", "uploads", id:
                return self._view(self._upload(id))
            case "POST", "artifacts", "uploads", id, "commit":
                return self._commit(id)
            case "GET", "artifacts":
                return [rows[-1] for _, rows in sorted(self.revisions.items()) if rows]
            case "GET", "artifacts", "revisions":
                return list(reversed(self._of(query["source_path"])))
            case "GET", "artifacts", "content":
                return self.blobs[self._one(query["source_path"], int(query.get("revision", 0)))["digest"]]
            case "GET", "artifacts", "diff":
                return self._diff(query["source_path"], int(query.get("from", 0)), int(query.get("to", 0)))
            case "POST", "artifacts", "clear":
                return self._clear(body)
        return None

    def line(self, part: Mapping[str, Any]) -> str:
        """The display line of a file job; raises what the server would raise."""
        given = {**part, "op": FileOp(part["op"]), "archive": Archive(part.get("archive", ""))}
        spec = FileSpec(**given)
        check_file(spec)
        if spec.op is FileOp.APPLY:
            self._one(spec.source, spec.revision)
        return file_line(spec)

    def _begin(self, body: dict[str, Any]) -> dict[str, Any]:
        id = f"U{len(self.uploads) + 1:018}"
        self.uploads[id] = {**body, "id": id, "data": bytearray()}
        return self._view(self.uploads[id])

    def _view(self, upload: dict[str, Any]) -> dict[str, Any]:
        known = upload["sha256"] in self.blobs
        return {"upload": upload["id"], "offset": len(upload["data"]), "size": upload["size"], "known": known}

    def _append(self, upload: dict[str, Any], offset: int, data: bytes) -> dict[str, Any]:
        if offset != len(upload["data"]):
            raise Conflict(f"cannot go on at byte {offset}", element="offset")
        self.parts.append((offset, len(data)))
        upload["data"] += data
        return {"offset": len(upload["data"])}

    def _commit(self, id: str) -> dict[str, Any]:
        upload = self._upload(id)
        data, digest = bytes(upload["data"]), upload["sha256"]
        if digest not in self.blobs:
            if hashlib.sha256(data).hexdigest() != digest:
                raise Invalid("cannot commit the upload: another SHA-256", element="sha256")
            self.blobs[digest] = data
        del self.uploads[id]
        rows: list[dict[str, Any]] = self.revisions.setdefault(upload["source_path"], [])
        if not rows or rows[-1]["digest"] != digest:
            last = rows[-1]["revision"] if rows else 0
            row = {"source_path": upload["source_path"], "revision": last + 1, "digest": digest}
            row |= {"size": upload["size"], "mode": upload.get("mode", ""), "archive": upload.get("archive", "")}
            rows.append({**row, "created_at": iso_text(START), "created_by": "admin", "missing": False})
        newest: dict[str, Any] = rows[-1]
        return newest

    def _upload(self, id: str) -> dict[str, Any]:
        if id not in self.uploads:
            raise NotFound(f"cannot find upload {id!r}", element="upload")
        return self.uploads[id]

    def _of(self, path: str) -> list[dict[str, Any]]:
        if not self.revisions.get(path):
            raise NotFound(f"cannot find an artifact {path!r}", element="source_path", hint="corral file list")
        return self.revisions[path]

    def _one(self, path: str, revision: int) -> dict[str, Any]:
        rows = [row for row in self._of(path) if revision in (0, row["revision"])]
        if rows:
            return rows[-1]
        raise NotFound(f"cannot find revision {revision} of {path!r}", element="revision")

    def _diff(self, path: str, old: int, new: int) -> dict[str, Any]:
        to = self._one(path, new)
        before = self._one(path, old or to["revision"] - 1)
        one, two = (self.blobs[row["digest"]].decode().splitlines() for row in (before, to))
        first, second = (f"{path} r{row['revision']}" for row in (before, to))
        text = "\n".join(difflib.unified_diff(one, two, first, second, lineterm="")) + "\n"
        same = before["digest"] == to["digest"]
        return {"source_path": path, "old": before, "new": to, "same": same, "binary": False, "text": text}

    def _clear(self, body: dict[str, Any]) -> dict[str, Any]:
        gone = []
        paths = [body["source_path"]] if body.get("source_path") else sorted(self.revisions)
        for path in paths:
            keep = body.get("keep")
            gone += self._of(path)[: -keep or None] if keep is not None else []
        for row in gone:
            if (row["source_path"], row["revision"]) in self.in_use:
                raise Conflict(f"cannot clear: revision {row['revision']} is in use", element="revision")
        for row in gone:
            self.revisions[row["source_path"]].remove(row)
        return {"removed": gone}


def changed(old: str | None, new: str | None, *, stdout: bytes = b"", **more: Any) -> Act:
    """A file task that found `old` and left `new` (digests)."""
    result = {"changed": old != new, "old": old, "new": new, "size": 1, "backup": None, **more}
    return Act(stdout=stdout, result=result)
