"""Following a task's spool files and shipping them by offset: at least once, without a gap, or explicitly `truncated`.

The command writes to files, so nothing it does can block on us and nothing is lost when we die. Live, the first half of the cap
is shipped as it grows; beyond it only the ends are kept (outputcap), the disk between them is given back by punching holes, and
the ends follow when the command is over, with the number of bytes dropped before them. Chunks go in windows; what was not
acknowledged goes again, and the reader drops by offset what it has. After a restart everything still in the folder goes again:
the folder is removed once all of it was acknowledged, so a folder that is there is output that may be missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Final

from corral.agent.link.port import LinkDown
from corral.agent.worker.frame import Frame
from corral.agent.worker.outputcap import Share, grow_heads, kept_from
from corral.agent.worker.redaction import Redactor
from corral.protocol.messages import HEADER_OFFSET, HEADER_SKIPPED, HEADER_STREAM
from corral.protocol.subjects import output as output_subject
from corral.runtime.backoff import Backoff
from corral.runtime.limits import TokenBucket, punch_hole

CHUNK_BYTES: Final = 64 << 10
_WINDOW: Final = 8
_IN_FLIGHT: Final = 16
"""Chunks on the way at once, over all tasks of the worker: what bounds its memory to 1 MiB."""
_PUNCH_BYTES: Final = 1 << 20
_AGAIN: Final = Backoff(delays_seconds=(0.1, 0.3, 1, 2, 4, 8, 15))
STREAMS: Final = ("stdout", "stderr")
_FILES: Final = ("out", "err")


class StreamRefused(LinkDown):
    """JetStream did not take a chunk (full, or not there yet); it goes again."""


class Courier:
    """Carries chunks of all tasks of one worker: few at a time, within the bandwidth limit."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.bucket = TokenBucket(frame.clock, frame.settings.bandwidth_bytes_per_second)
        self._in_flight = asyncio.Semaphore(_IN_FLIGHT)
        self._wake = asyncio.Event()

    async def pause(self, seconds: float) -> None:
        """Wait before a chunk goes again, but not past the next connect."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def wake(self) -> None:
        """The link is back."""
        self._wake.set()
        self._wake = asyncio.Event()

    async def carry(self, subject: str, path: str, stream: str, chunk: Chunk, redactor: Redactor | None = None) -> int:
        """Send one chunk and wait for its acknowledgement; returns its length. Raises LinkDown."""
        async with self._in_flight:
            data = read_range(path, chunk.at, chunk.length) if redactor is None else read_masked(path, chunk, redactor)
            if not data:
                return 0
            await self.bucket.take(len(data))
            headers = {HEADER_STREAM: stream, HEADER_OFFSET: str(chunk.offset)}
            if chunk.skipped:
                headers[HEADER_SKIPPED] = str(chunk.skipped)
            answer = await self.frame.link.request(subject, data, headers=headers)
        check_accepted(answer.data)
        return len(data)


def check_accepted(data: bytes) -> None:
    """Raise StreamRefused when JetStream's answer is not an acknowledgement."""
    if b'"error"' not in data and b'"seq"' in data:
        return
    try:
        error = json.loads(data).get("error") or {}
    except (ValueError, AttributeError):
        error = {}
    raise StreamRefused(
        f"cannot store it: {error.get('description', 'no acknowledgement')}", element=str(error.get("err_code", ""))
    )


@dataclass(frozen=True, slots=True)
class Chunk:
    """`at` = where in the file, `offset` = where in the stream (they differ after the command truncated its own output)."""

    at: int
    offset: int
    length: int
    skipped: int = 0


class _Followed(Share):
    __slots__ = ("acked", "base", "gap", "gapped", "held", "path", "punched", "stream", "tail")

    def __init__(self, directory: str, file: str, stream: str) -> None:
        super().__init__()
        self.path = f"{directory}/{file}"
        self.stream = stream
        self.acked = 0
        self.base = 0
        self.punched = 0
        self.tail = -1
        self.held = 0
        self.gap = 0
        self.gapped = False

    def look(self) -> bool:
        try:
            size = os.stat(self.path).st_size + self.base
        except OSError:
            size = self.size
        if size < self.size:
            # the command truncated its own output (`>/dev/stderr` does): what follows continues the stream
            size += self.size - self.base
            self.base = self.size
            if self.acked < self.base:
                self.gap += self.base - self.acked
                self.gapped = True
                self.acked = self.base
        grew = size != self.size
        self.size = size
        return grew

    def chunks(self) -> Iterator[Chunk]:
        """What is to be sent next, in order: the head, and once the end is known the tail."""
        start, skipped = self.acked, self.gap
        # what may be half a secret waits for its other half
        upto = self.head if self.head < self.size else self.head - self.held
        while start < upto:
            length = min(CHUNK_BYTES, upto - start)
            yield Chunk(start - self.base, start, length, skipped)
            start, skipped = start + length, 0
        if self.tail < 0:
            return
        if start < self.tail:
            skipped, start = skipped + self.tail - start, self.tail
        while start < self.size:
            length = min(CHUNK_BYTES, self.size - start)
            yield Chunk(start - self.base, start, length, skipped)
            start, skipped = start + length, 0


class OutputFollower:
    """The output of one attempt."""

    def __init__(
        self,
        courier: Courier,
        *,
        job: str,
        attempt: int,
        directory: str,
        limit: int,
        redactor: Redactor | None = None,
    ) -> None:
        self._courier = courier
        self._redactor = redactor
        self._margin = 0 if redactor is None else redactor.span
        self._frame = courier.frame
        self._subject = output_subject(self._frame.node_id, job, attempt)
        self._name = f"output {job}.{attempt}"
        self._limit = limit
        self._pump: asyncio.Task[None] | None = None
        self._ended = False
        self.directory = directory
        self._streams = tuple(_Followed(directory, f, s) for f, s in zip(_FILES, STREAMS, strict=True))
        self._restore_heads()

    def _pair(self) -> tuple[_Followed, _Followed]:
        return self._streams[0], self._streams[1]

    @property
    def sizes(self) -> tuple[int, int]:
        return self._streams[0].size, self._streams[1].size

    @property
    def truncated(self) -> bool:
        pair = self._pair()
        starts = kept_from(self._limit, pair)
        return any(start > stream.head or stream.gapped for start, stream in zip(starts, pair, strict=True))

    @property
    def unsent_bytes(self) -> int:
        """Bytes of the spool that are not yet with the server (what was dropped does not count)."""
        starts = kept_from(self._limit, self._pair())
        return sum(
            max(0, s.head - s.acked) + max(0, s.size - max(start, s.acked))
            for s, start in zip(self._streams, starts, strict=True)
        )

    def lift(self, size: int) -> None:
        """Let `size` bytes of stdout through whole. Before the first byte beyond the old cap is written."""
        self._limit = max(self._limit, cap_for(size))

    def look(self) -> bool:
        """See what was written since; ship it in the background. True when something was."""
        grew = self._streams[0].look() | self._streams[1].look()
        if grew:
            grow_heads(self._limit, self._pair())
            self._hold()
            self._enforce()
            self._start()
        return grew

    def end(self) -> bool:
        """The command is over: fix the sizes and let the kept ends follow. True when there is still something to ship."""
        self.look()
        if not self._ended:
            self._ended = True
            self._hold()
            for stream, start in zip(self._streams, kept_from(self._limit, self._pair()), strict=True):
                stream.tail = start
        self._start()
        return self._pump is not None

    async def flushed(self) -> None:
        """Return when everything kept was acknowledged."""
        while self._pump is not None:
            await asyncio.shield(self._pump)

    def _start(self) -> None:
        if self._pump is None and any(next(stream.chunks(), None) for stream in self._streams):
            self._pump = self._frame.tasks.start(self._ship(), name=self._name)

    async def _ship(self) -> None:
        tries = 0
        try:
            while window := self._window():
                jobs = [
                    self._courier.carry(self._subject, s.path, s.stream, chunk, self._redactor) for s, chunk in window
                ]
                results = await _all(jobs)
                progress, error = self._settle(window, results)
                if error is not None:
                    tries = 0 if progress else tries + 1
                    await self._courier.pause(_AGAIN.delay(tries))
        finally:
            self._pump = None

    def _window(self) -> list[tuple[_Followed, Chunk]]:
        out: list[tuple[_Followed, Chunk]] = []
        for stream in self._streams:
            for chunk in stream.chunks():
                if len(out) >= _WINDOW:
                    return out
                out.append((stream, chunk))
        return out

    def _settle(
        self, window: list[tuple[_Followed, Chunk]], results: list[int | BaseException]
    ) -> tuple[bool, LinkDown | None]:
        """Move each stream on past what was acknowledged without a gap."""
        failed: set[str] = set()
        error: LinkDown | None = None
        progress = False
        for (stream, chunk), result in zip(window, results, strict=True):
            if isinstance(result, LinkDown):
                error = result
                failed.add(stream.stream)
            elif isinstance(result, BaseException):
                raise result
            elif stream.stream not in failed:
                # a short or empty read: the command truncated the file under us, those bytes exist no more
                stream.acked = max(stream.acked, chunk.offset + chunk.length)
                stream.gap = 0
                progress = True
        return progress, error

    def _hold(self) -> None:
        """See whether a stream ends, for now, in what may be the beginning of a secret."""
        if self._redactor is None:
            return
        for stream in self._streams:
            stream.held = 0
            if not self._ended:
                at = max(0, stream.size - stream.base - self._margin)
                stream.held = self._redactor.begun(read_range(stream.path, at, stream.size - stream.base - at))

    def _enforce(self) -> None:
        """Give back the disk between the kept head and the kept end, but for what is needed to see secrets at their edges."""
        if self._streams[0].size + self._streams[1].size <= self._limit:
            return
        for stream, start in zip(self._streams, kept_from(self._limit, self._pair()), strict=True):
            low, start = max(stream.head + self._margin, stream.punched), start - self._margin
            if start - low < _PUNCH_BYTES:
                continue
            self._save_heads()
            with contextlib.suppress(OSError):
                fd = os.open(stream.path, os.O_WRONLY | os.O_CLOEXEC)
                try:
                    if not punch_hole(fd, low - stream.base, start - stream.base):
                        self._drop_all(fd, stream)
                finally:
                    os.close(fd)
            stream.punched = start

    def _drop_all(self, fd: int, stream: _Followed) -> None:
        """A file system without holes: once the head is with the server, start the file anew (it is open for appending)."""
        if stream.acked >= stream.head:
            os.ftruncate(fd, 0)

    def _restore_heads(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            with open(f"{self.directory}/heads", "rb") as file:
                for stream, head in zip(self._streams, file.read().split(), strict=True):
                    stream.head = stream.size = int(head)

    def _save_heads(self) -> None:
        """Before the first hole, so that whoever adopts the task knows which bytes are whole."""
        path = f"{self.directory}/heads"
        if not os.path.exists(path):
            with open(path, "wb") as file:
                file.write(b"%d %d" % (self._streams[0].head, self._streams[1].head))


def read_masked(path: str, chunk: Chunk, redactor: Redactor) -> bytes:
    """The chunk as it may leave the node: secrets are looked for across its borders too."""
    before = min(chunk.at, redactor.span)
    data = redactor.mask(read_range(path, chunk.at - before, before + chunk.length + redactor.span))
    return data[before : before + chunk.length]


def read_range(path: str, offset: int, length: int) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.pread(fd, length, offset)
    finally:
        os.close(fd)


async def _all(jobs: list[Coroutine[Any, Any, int]]) -> list[int | BaseException]:
    if len(jobs) == 1:
        # by far the most common case, and a task less
        try:
            return [await jobs[0]]
        except LinkDown as error:
            return [error]
    return await asyncio.gather(*jobs, return_exceptions=True)


def lifted(limit: int, directory: str) -> int:
    """The cap of a task whose stdout is a file that was asked for: all of it."""
    with contextlib.suppress(OSError):
        return max(limit, cap_for(os.stat(f"{directory}/out").st_size))
    return limit


def cap_for(size: int) -> int:
    """A cap under which `size` bytes of stdout go out whole, as they come: heads are half of it, and stderr needs a little."""
    return 2 * size + (1 << 20)


def remove_directory(directory: str) -> None:
    """Remove an attempt's folder: plain files, and of a file task the folders of its commands, which hold plain files only."""
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names:
        try:
            os.unlink(f"{directory}/{name}")
        except IsADirectoryError:
            remove_directory(f"{directory}/{name}")
        except OSError:
            continue
    with contextlib.suppress(OSError):
        os.rmdir(directory)
