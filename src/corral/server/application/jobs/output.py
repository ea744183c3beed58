"""Reading output: the first 64 KiB of each task for a listing, and the exact bytes of one stream.

Ranges are put in order by domain.output. A hole in a preview is written into the text where it is, so that nobody takes a
part for the whole; the exact bytes have no such marks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from corral.domain.errors import Invalid
from corral.domain.ids import check_node_id, check_object_id
from corral.domain.output import PREVIEW_BYTES, Assembler, Gap, as_text
from corral.domain.task import OPEN, Task, TaskState
from corral.server.application.jobs.pump import PAGE
from corral.server.application.jobs.sight import OUTPUT, JobSight, unseen_task
from corral.server.application.ports.access import Caller
from corral.server.application.ports.jobs import JobQueries, OutputChunk, OutputLog

STREAMS: Final = ("stdout", "stderr")
SCAN_BYTES_MAX: Final = 4 << 20
"""How far a preview reads into one node's output to find the second stream."""
SHARED_SCAN_BYTES: Final = 32 << 20
READERS: Final = 8
_UNKNOWN_END: Final = frozenset({TaskState.INTERRUPTED, TaskState.LOST})


@dataclass
class Preview:
    """The beginning of one stream, in order; `full` once nothing more fits."""

    cap: int
    parts: list[str | bytes] = field(default_factory=list)
    size: int = 0
    cut: bool = False
    assembler: Assembler = field(default_factory=Assembler)

    def feed(self, chunk: OutputChunk) -> None:
        if not self.cut:
            self._take(self.assembler.feed(chunk.offset, chunk.data, chunk.skipped))

    def text(self) -> str:
        """What there is, holes marked; call it once, at the end."""
        if not self.cut:
            self._take(self.assembler.finish())
        out: list[str] = []
        run = bytearray()
        for part in [*self.parts, ""]:
            if isinstance(part, bytes):
                run += part
                continue
            if run:
                out.append(as_text(bytes(run), cut=self.cut and part == ""))
                run.clear()
            out.append(part)
        return "".join(out)

    def _take(self, pieces: Sequence[bytes | Gap]) -> None:
        for piece in pieces:
            if isinstance(piece, Gap):
                self.parts.append(f"\n{piece}\n")
                continue
            room = self.cap - self.size
            self.parts.append(piece[:room])
            self.size += min(room, len(piece))
            if len(piece) > room:
                self.cut = True
                return


class _TaskPreview:
    """Both streams of one attempt, and whether reading on would bring anything."""

    def __init__(self, task: Task, cap: int) -> None:
        self.attempt = task.attempt
        self.streams = {name: Preview(cap) for name in STREAMS}
        ended = task.state not in OPEN and task.state not in _UNKNOWN_END
        self._want = (
            {"stdout": task.stdout_bytes, "stderr": task.stderr_bytes} if ended else dict.fromkeys(STREAMS, cap)
        )
        self.scanned = 0

    def feed(self, chunk: OutputChunk) -> None:
        self.scanned += len(chunk.data)
        if chunk.attempt == self.attempt and chunk.stream in self.streams:
            self.streams[chunk.stream].feed(chunk)

    @property
    def done(self) -> bool:
        return self.scanned > SCAN_BYTES_MAX or all(
            p.cut or p.size >= min(self._want[name], p.cap) for name, p in self.streams.items()
        )

    def texts(self) -> tuple[str, str]:
        return self.streams["stdout"].text(), self.streams["stderr"].text()


class OutputReading:
    """Use case: output as stored, now."""

    def __init__(self, *, queries: JobQueries, log: OutputLog, sight: JobSight | None = None) -> None:
        self._queries = queries
        self._sight = sight or JobSight(queries=queries)
        self._log = log

    async def previews(
        self, caller: Caller, job: str, tasks: Sequence[Task], *, cap: int = PREVIEW_BYTES
    ) -> Mapping[str, tuple[str, str]]:
        """Node → (stdout, stderr) of its current attempt, each at most `cap` bytes, invalid UTF-8 replaced."""
        previews = {task.node: _TaskPreview(task, cap) for task in tasks}
        wanted = {node: p for node, p in previews.items() if not p.done}
        by_node = {task.node: task for task in tasks}
        ended = all(by_node[node].state not in OPEN for node in wanted)
        total = sum(by_node[node].stdout_bytes + by_node[node].stderr_bytes for node in wanted)
        if len(wanted) > READERS and ended and total <= SHARED_SCAN_BYTES:
            await self._scan(job, None, wanted)
        else:
            gate = asyncio.Semaphore(READERS)

            async def one(node: str) -> None:
                async with gate:
                    await self._scan(job, node, {node: wanted[node]})

            await asyncio.gather(*(one(node) for node in wanted))
        return {node: preview.texts() for node, preview in previews.items()}

    async def raw(
        self, caller: Caller, job: str, node: str, stream: str, attempt: int | None = None
    ) -> AsyncIterator[bytes]:
        """The exact bytes of one stream, as far as they are stored. Raises NotFound or Invalid before the first byte."""
        check_object_id(job, "J", element="job")
        if stream not in STREAMS:
            raise Invalid(
                f"cannot read stream {stream[:20]!r}: expected stdout or stderr",
                element="stream",
                hint="corral exec logs --raw",
            )
        check_node_id(node, element="node")
        if node not in await self._sight.of(caller, job, OUTPUT):
            raise unseen_task(job, node)
        task = await self._queries.task(job, node)
        return self._bytes(job, node, stream, task.attempt if attempt is None else attempt)

    async def _bytes(self, job: str, node: str, stream: str, attempt: int) -> AsyncIterator[bytes]:
        assembler = Assembler()
        after = 0
        while chunks := await self._log.read(job, node=node, after=after, limit=PAGE):
            after = chunks[-1].sequence
            for chunk in chunks:
                if chunk.stream == stream and chunk.attempt == attempt:
                    for piece in assembler.feed(chunk.offset, chunk.data, chunk.skipped):
                        if isinstance(piece, bytes):
                            yield piece
        for piece in assembler.finish():
            if isinstance(piece, bytes):
                yield piece

    async def _scan(self, job: str, node: str | None, wanted: Mapping[str, _TaskPreview]) -> None:
        left = dict(wanted)
        after, scanned = 0, 0
        while left and scanned <= 2 * SHARED_SCAN_BYTES:
            chunks = await self._log.read(job, node=node, after=after, limit=PAGE)
            if not chunks:
                return
            after = chunks[-1].sequence
            for chunk in chunks:
                scanned += len(chunk.data)
                preview = left.get(chunk.node)
                if preview is None:
                    continue
                preview.feed(chunk)
                if preview.done:
                    del left[chunk.node]
