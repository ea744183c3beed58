"""Files: upload revisions of an artifact, read them back, and submit what nodes do with files.

An upload is resumable: parts go up one after the other, and when the connection breaks or the server goes away and comes back, it
goes on at the offset the server names. What the server has already is not sent again, not even by another program.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from corral.domain.errors import Conflict, Invalid, NotFound, Unavailable, WrongState
from corral.runtime.backoff import Backoff
from corral.sdk.api import Api, part
from corral.sdk.jobs import JobHandle, Jobs
from corral.sdk.models import Revision
from corral.sdk.pack import pack

PART_BYTES: Final = 4 << 20
READ_BYTES: Final = 1 << 20
PATIENCE_SECONDS: Final = 120.0
AGAIN: Final = Backoff(delays_seconds=(0.2, 0.5, 1, 2, 4))
_LIMITS: Final = ("name", "timeout", "grace", "concurrency", "offline", "expires", "retries", "max_output")

Progress = Callable[[int, int], None]
"""(bytes that are there, bytes in all)"""


@dataclass(frozen=True, kw_only=True)
class FileTask:
    """What nodes do with a file. None = the server's default. Times are seconds, sizes bytes.

    `op`: apply (artifact `source` → `dest`), fetch, preview, delete (of `dest`), copy (`source` → `dest` on the node), rollback (`dest` to
    what the node had before). `bandwidth`: bytes a second on each node; `job_bandwidth`: on all that work at once together.
    """

    target: str
    op: str
    dest: str
    source: str | None = None
    revision: int | None = None
    owner: str | None = None
    mode: str | None = None
    backup: bool | None = None
    dry_run: bool | None = None
    diff: bool | None = None
    template: bool | None = None
    validate: str | None = None
    notify: str | None = None
    archive: str | None = None
    bandwidth: int | None = None
    job_bandwidth: int | None = None
    recursive: bool | None = None
    name: str | None = None
    timeout: float | None = None
    grace: float | None = None
    concurrency: int | None = None
    offline: str | None = None
    expires: float | None = None
    retries: int | None = None
    max_output: int | None = None

    def body(self) -> dict[str, Any]:
        given = {key: value for key, value in vars(self).items() if value is not None}
        out: dict[str, Any] = {key: given.pop(key) for key in ("target", *_LIMITS) if key in given}
        return {**out, "kind": "file", "file": given}


class Files:
    """`fleet.files`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def upload(
        self,
        src: str | Path,
        *,
        source_path: str | None = None,
        mode: str | None = None,
        archive: str | None = None,
        sha256: str | None = None,
        progress: Progress = lambda done, total: None,
    ) -> Revision:
        """A file, or a directory as an archive → the revision that holds it (the newest one, when that already is the same).

        `source_path` names the artifact (default: the absolute path of `src`); `sha256` is what the file must have.
        Raises Invalid, TooLarge, OutOfSpace, Unavailable.
        """
        path = Path(src)
        name = source_path or artifact_name(src)
        file, kind = await asyncio.to_thread(_open, path, archive)
        with file:
            size, digest = await asyncio.to_thread(_measure, file)
            if sha256 is not None and sha256.lower() != digest:
                raise Invalid(
                    f"cannot upload {str(src)!r}: its SHA-256 is {digest}, not {sha256}",
                    element="sha256",
                    hint="is this the file you mean?",
                )
            body = {"source_path": name, "size": size, "sha256": digest, "mode": mode, "archive": kind}
            given = {key: value for key, value in body.items() if value not in (None, "")}
            return await self._patiently(given, file, progress)

    async def _once(self, body: dict[str, Any], file: IO[bytes], progress: Progress) -> Revision:
        """From the announcement to the commit; what came before it is found again by the announcement."""
        size = body["size"]
        begun = await self._api.call("POST", "/artifacts/uploads", body=body)
        path = f"/artifacts/uploads/{part(begun['upload'])}"
        offset = size if begun["known"] else begun["offset"]
        progress(offset, size)
        while offset < size:
            data = await asyncio.to_thread(_read_at, file, offset)
            if not data:
                raise Invalid("cannot upload: the file became shorter while it was read", element="src")
            try:
                offset = (await self._api.put(path, data, query={"offset": str(offset)}))["offset"]
            except Conflict:
                # The part did arrive, only its answer was lost.
                offset = (await self._api.call("GET", path))["offset"]
            progress(offset, size)
        return Revision.from_json(await self._api.call("POST", f"{path}/commit", body={}))

    async def _patiently(self, body: dict[str, Any], file: IO[bytes], progress: Progress) -> Revision:
        """Again from the announcement while the server is away, or lost the upload or the stored bytes meanwhile.

        A server that never answered is said to be absent at once.
        """
        clock = self._api.clock
        heard: float | None = None

        def hear(done: int, total: int) -> None:
            nonlocal heard
            heard = clock.monotonic()
            progress(done, total)

        failures = 0
        while True:
            try:
                return await self._once(body, file, hear)
            except (Unavailable, NotFound, WrongState) as error:
                away = isinstance(error, Unavailable) and error.element != "ca"
                lost = isinstance(error, (NotFound, WrongState)) and error.element == "upload"
                if heard is None or not (away or lost) or clock.monotonic() - heard > PATIENCE_SECONDS:
                    raise
            await clock.sleep(AGAIN.delay(failures))
            failures += 1

    async def history(self, source_path: str, *, limit: int | None = 50) -> list[Revision]:
        """The newest first. Raises NotFound."""
        query = {"source_path": source_path}
        return [
            Revision.from_json(row) for row in await self._api.pages("/artifacts/revisions", query=query, limit=limit)
        ]

    async def where(self, source_path: str, *, revision: int = 0, limit: int | None = None) -> Sequence[dict[str, Any]]:
        """Where revisions are now: [{"node", "dest", "source_path", "revision", "digest", "job", "at"}]; of one revision, or of all (0)."""
        query = {"source_path": source_path, "revision": revision or None}
        return await self._api.pages("/artifacts/placements", query=query, limit=limit)

    async def on_node(self, node: str) -> Sequence[dict[str, Any]]:
        """What files a node has, as `where` gives them, by path."""
        return sorted(await self._api.pages(f"/nodes/{part(node)}/files"), key=lambda entry: str(entry["dest"]))

    async def content(self, source_path: str, revision: int = 0) -> AsyncGenerator[bytes, None]:
        """The exact bytes of a revision, or of the newest."""
        query = {"source_path": source_path, "revision": revision or None}
        async with aclosing(self._api.octets("/artifacts/content", query=query)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def diff(self, source_path: str, *, old: int = 0, new: int = 0) -> dict[str, Any]:
        """{"same", "binary", "text", "old", "new"}; `old` 0 = the one before `new`, `new` 0 = the newest."""
        query = {"source_path": source_path, "from": old or None, "to": new or None}
        answer: dict[str, Any] = await self._api.call("GET", "/artifacts/diff", query=query)
        return answer

    async def clear(
        self, *, source_path: str | None = None, keep: int | None = None, unused: bool = False
    ) -> list[Revision]:
        """What was removed. Raises Conflict when something of it is in use."""
        body = {"source_path": source_path, "keep": keep, "unused": unused}
        answer = await self._api.call("POST", "/artifacts/clear", body=body)
        return [Revision.from_json(row) for row in answer["removed"]]

    async def submit(self, task: FileTask) -> JobHandle:
        return await Jobs(self._api).submit(task)

    async def apply(self, source: str, dest: str, *, on: str, **options: Any) -> JobHandle:
        """Ship a revision (the newest, or `revision`) of the artifact `source` to `dest` on the nodes `on` selects."""
        return await self.submit(FileTask(target=on, op="apply", source=source, dest=dest, **options))

    async def fetch(self, path: str, *, on: str, **options: Any) -> JobHandle:
        """Each node sends its `path` as the stdout of its task: read it with jobs.raw_output."""
        return await self.submit(FileTask(target=on, op="fetch", dest=path, **options))

    async def list(self, *, limit: int | None = 50) -> list[Revision]:
        """The newest revision of each artifact, by source path."""
        return [Revision.from_json(row) for row in await self._api.pages("/artifacts", limit=limit)]


def artifact_name(src: str | Path) -> str:
    """What an upload is called when nobody says: the absolute path, links and all."""
    return str(Path(src).absolute())


def _open(path: Path, archive: str | None) -> tuple[IO[bytes], str]:
    """The bytes to send, and their archive kind: the file itself, or a directory packed into a temporary file."""
    try:
        if not path.is_dir():
            return path.open("rb"), archive or ""
        packed = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
    except OSError as error:
        raise Invalid(f"cannot read {str(path)!r}: {error.strerror}", element="src") from None
    try:
        pack(path, archive or "tar", packed)
    except BaseException:
        packed.close()
        raise
    return packed, archive or "tar"


def _measure(file: IO[bytes]) -> tuple[int, str]:
    digest = hashlib.sha256()
    size = 0
    file.seek(0)
    while data := file.read(READ_BYTES):
        digest.update(data)
        size += len(data)
    return size, digest.hexdigest()


def _read_at(file: IO[bytes], offset: int) -> bytes:
    file.seek(offset)
    return file.read(PART_BYTES)
