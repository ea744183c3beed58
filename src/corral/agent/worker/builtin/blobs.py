"""Fetching the bytes of a revision: batched reads from the engine, opened chunk by chunk, into this node's content cache.

The bucket is readable by every node, so nothing in it is believed: each chunk opens only under the key and digest the signed task
names (its tag), in its place (its number is the nonce), and the whole must have the signed size and SHA-256. The next batch is asked
for while the last one is opened and written in a thread, so network, cipher and disk work at the same time and two batches are all
the memory it takes.

<state>/blobs/<digest>        whole and checked; kept for the next task up to a bound, the least recently used goes first
<state>/blobs/<digest>.part   whole chunks of one that is on its way
<state>/blobs/<digest>.at     "<nuid> <chunks> <sequence>": how many chunks of .part hold, and where the bucket goes on

One download per digest serves every task that wants it. After a reconnect it goes on at the last good chunk, and so does the next
worker after a kill -9; what was resumed is hashed again, and if that proves it wrong it is fetched once more from the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from dataclasses import dataclass, field
from typing import Any, Final

from corral.agent.link.port import LinkDown, LinkMessage
from corral.agent.worker.builtin.errors import TaskFailed, os_failure
from corral.agent.worker.builtin.partial import Corrupt, Partial, sequence_of
from corral.agent.worker.frame import Frame
from corral.domain.artifact import PLAIN_CHUNK_BYTES, Blob, chunk_count
from corral.protocol.subjects import OBJECT_READ
from corral.runtime.backoff import Backoff
from corral.runtime.files import private_dir
from corral.runtime.limits import TokenBucket
from corral.runtime.threads import in_thread

log = logging.getLogger("corral.worker.blobs")

_BATCH_FIRST, _BATCH_MAX = 8, 16
"""Messages of 128 KiB asked for at once; the first batches find out what the line carries."""
_BATCH_SECONDS: Final = 0.5
"""A batch that takes longer is halved, one that takes a quarter of it is doubled."""
_ASK_SECONDS: Final = 30.0
_AT_ONCE: Final = 2
"""Downloads at a time: more would only share the line. Each holds two batches in memory, of a size they share."""
_INLINE_BYTES: Final = 256 << 10
_AGAIN: Final = Backoff(delays_seconds=(0.2, 0.5, 1, 2, 5))
_MISSING_TRIES: Final = 4
_CORRUPT_TRIES: Final = 2
_FREE_MARGIN_BYTES: Final = 1 << 20


_Batch = tuple[list[LinkMessage], int]


@dataclass(slots=True, eq=False)
class _Download:
    """One digest on its way: who waits for it, and how fast it may go (0 = no limit of its own)."""

    task: asyncio.Task[TaskFailed | None] | None = None
    waiting: list[int] = field(default_factory=list)
    rate: TokenBucket | None = None


class Lease:
    """A descriptor of a whole blob. `checked`: its bytes were hashed just now, so a copy need not hash them again."""

    __slots__ = ("_blobs", "checked", "digest", "fd", "size")

    def __init__(self, blobs: Blobs, digest: str, fd: int, *, checked: bool) -> None:
        self._blobs = blobs
        self.digest = digest
        self.fd = fd
        self.size = os.fstat(fd).st_size
        self.checked = checked

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)
        self._blobs.released(self.digest)


class Blobs:
    """`bucket` is the node's bandwidth limit, shared with the output that goes up. `chunks_opened` counts, for tests and status."""

    def __init__(self, frame: Frame, bucket: TokenBucket) -> None:
        self._frame = frame
        self._bucket = bucket
        self._root = frame.state.blobs
        self._downloads: dict[str, _Download] = {}
        self._leaving: dict[str, asyncio.Task[TaskFailed | None]] = {}
        self._leased: dict[str, int] = {}
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._active = 0
        self.chunks_opened = 0

    async def lease(self, digest: str, size: int, blob: Blob | None, *, bandwidth: int = 0) -> Lease:
        """The bytes of `digest`, fetched if need be. Raises TaskFailed; waits for the link as long as it takes."""
        try:
            private_dir(self._root)
            fresh = not self._is_here(digest, size)
            if fresh:
                if blob is None:
                    raise TaskFailed("cannot fetch the file: the task does not say where it is")
                if blob.chunks != chunk_count(size):
                    raise TaskFailed(f"cannot fetch the file: {blob.chunks} chunks cannot hold {size} bytes")
                await self._shared(digest, size, blob, bandwidth)
            fd = os.open(self._path(digest), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise os_failure("store the file in", str(self._root), error) from None
        self._leased[digest] = self._leased.get(digest, 0) + 1
        with contextlib.suppress(OSError):
            os.utime(fd)
        return Lease(self, digest, fd, checked=fresh)

    def drop(self, digest: str) -> None:
        """What is kept of `digest` is damaged: the next lease fetches it again."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(digest))

    def released(self, digest: str) -> None:
        self._leased[digest] -= 1
        if not self._leased[digest]:
            del self._leased[digest]
        self._evict()

    def _path(self, digest: str, suffix: str = "") -> str:
        return f"{self._root}/{digest}{suffix}"

    def _is_here(self, digest: str, size: int) -> bool:
        try:
            return os.stat(self._path(digest)).st_size == size
        except FileNotFoundError:
            return False

    def _evict(self) -> None:
        """Keep the cache within its bound; partial files of nobody's count too."""
        entries = []
        with contextlib.suppress(OSError), os.scandir(self._root) as found:
            for entry in found:
                stat = entry.stat(follow_symlinks=False)
                entries.append((stat.st_mtime, stat.st_blocks * 512, entry.name))
        total = sum(size for _, size, _ in entries)
        for _, size, name in sorted(entries):
            if total <= self._frame.settings.blob_cache_bytes:
                return
            digest = name.partition(".")[0]
            if digest not in self._leased and digest not in self._downloads:
                with contextlib.suppress(OSError):
                    os.unlink(f"{self._root}/{name}")
                    total -= size

    # --- one download for all who want it -----------------------------------------------------------------------------

    async def _shared(self, digest: str, size: int, blob: Blob, bandwidth: int) -> None:
        download = self._downloads.setdefault(digest, _Download())
        download.waiting.append(bandwidth)
        self._pace(download)
        if download.task is None:
            work = self._download(download, digest, size, blob)
            download.task = self._frame.tasks.start(_outcome(work), name=f"blob {digest[:12]}")
        task = download.task
        try:
            error = await asyncio.shield(task)
            if error is not None:
                raise error
        finally:
            download.waiting.remove(bandwidth)
            self._pace(download)
            if not download.waiting:
                del self._downloads[digest]
                if not task.done():
                    # the last one left: nobody wants it now, and what is there is kept
                    self._leaving[digest] = task
                    task.cancel()

    def _pace(self, download: _Download) -> None:
        """The most generous of those who wait: none is held back by another's limit."""
        if not download.waiting or min(download.waiting) == 0:
            download.rate = None
        elif download.rate is None:
            download.rate = TokenBucket(self._frame.clock, max(download.waiting))
        else:
            download.rate.set_rate(max(download.waiting))

    async def _download(self, download: _Download, digest: str, size: int, blob: Blob) -> None:
        if (before := self._leaving.pop(digest, None)) is not None:
            # its thread may still write to the partial file
            await asyncio.wait([before])
        async with self._turn:
            self._active += 1
            try:
                for resume in (True, False):
                    part = Partial(self._root, digest, size, blob, resume=resume)
                    try:
                        resumed = await part.open()
                        await self._fill(part, download)
                        await in_thread(part.finish)
                        return
                    except Corrupt:
                        part.discard()
                        if not resumed:
                            raise
                        log.warning(
                            "Cannot use what an earlier run left of %s; fetching it anew",
                            digest,
                            extra={"action": "blob"},
                        )
                    finally:
                        part.close()
            except OSError as error:
                # a full disk gets its space back; another try begins anew
                part.discard()
                raise os_failure("store the file in", str(self._root), error) from None
            finally:
                self._active -= 1

    async def _fill(self, part: Partial, download: _Download) -> None:
        """Every chunk that is missing, in order: ask for a batch, and while the next is on its way open and write the last."""
        batch, corrupt = _BATCH_FIRST, 0
        asked: asyncio.Task[_Batch | TaskFailed] | None = None
        sequence = part.sequence
        try:
            while part.missing:
                if asked is None:
                    asked = self._ask(part, download, sequence, min(batch, part.missing))
                found = await asked
                asked = None
                if isinstance(found, TaskFailed):
                    raise found
                messages, batch = found
                last = sequence_of(messages[-1])
                if part.missing > len(messages):
                    asked = self._ask(part, download, last + 1, min(batch, part.missing - len(messages)))
                try:
                    if sum(len(message.data) for message in messages) <= _INLINE_BYTES:
                        part.take(messages)
                    else:
                        await in_thread(part.take, messages)
                except Corrupt:
                    # a fault on the way is asked for again; one in the store stays
                    corrupt += 1
                    if corrupt > _CORRUPT_TRIES:
                        raise
                    if asked is not None:
                        asked.cancel()
                        asked = None
                    sequence = part.sequence
                    continue
                self.chunks_opened += len(messages)
                sequence = last + 1
        finally:
            if asked is not None:
                asked.cancel()

    def _ask(self, part: Partial, download: _Download, sequence: int, batch: int) -> asyncio.Task[_Batch | TaskFailed]:
        return self._frame.tasks.start(self._batch(part, download, sequence, batch), name="blob batch")

    async def _batch(self, part: Partial, download: _Download, sequence: int, batch: int) -> _Batch | TaskFailed:
        """(at least one chunk, how many to ask for next). Waits out a lost link; fails when the engine has them not."""
        missing = tries = 0
        clock = self._frame.clock
        while True:
            batch = min(batch, _BATCH_MAX // max(1, self._active))
            for bucket in (self._bucket, download.rate):
                if bucket is not None and bucket.rate > 0:
                    # never more at once than a quarter of a second carries
                    batch = max(1, min(batch, bucket.rate // 4 // PLAIN_CHUNK_BYTES))
                    await bucket.take(batch * PLAIN_CHUNK_BYTES)
            began = clock.monotonic()
            ask = {"seq": sequence, "next_by_subj": part.subject, "batch": batch}
            try:
                answer = await self._frame.link.request_many(
                    OBJECT_READ, json.dumps(ask).encode(), timeout_seconds=_ASK_SECONDS
                )
            except LinkDown:
                batch = max(1, batch // 2)
                await clock.sleep(_AGAIN.delay(tries))
                tries += 1
                continue
            chunks = [message for message in answer if message.data and "Status" not in message.headers]
            if chunks:
                took = clock.monotonic() - began
                if took > _BATCH_SECONDS:
                    batch = max(1, batch // 2)
                elif took < _BATCH_SECONDS / 4:
                    batch = min(_BATCH_MAX, batch * 2)
                return chunks, batch
            missing += 1
            if missing >= _MISSING_TRIES:
                return TaskFailed(
                    f"cannot fetch the file: the engine holds {part.chunks} of its {part.blob.chunks} chunks",
                    hint="upload the same file again: that puts the bytes back",
                )
            await clock.sleep(_AGAIN.delay(missing - 1))


async def _outcome(work: Any) -> TaskFailed | None:
    """Whoever waits raises it; a download that all have left is no failure of anybody's."""
    try:
        await work
    except TaskFailed as error:
        return error
    return None
