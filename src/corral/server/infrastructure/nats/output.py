"""Task output in the engine's stream: what nodes stored there, read from a sequence on or followed live."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from corral.bus.port import BusMessage, Streams
from corral.protocol import subjects
from corral.protocol.messages import HEADER_OFFSET, HEADER_SKIPPED, HEADER_STREAM
from corral.server.application.jobs.counters import Counters
from corral.server.application.ports.jobs import OutputChunk

_STREAMS: Final = ("stdout", "stderr")
_OFFSET_MAX: Final = 2**62


class NatsOutputLog:
    """Implements ports.jobs.OutputLog. Sequences are the stream's, so they order the chunks of all nodes and jobs."""

    def __init__(self, *, streams: Streams, counters: Counters) -> None:
        self._streams = streams
        self._counters = counters

    async def read(
        self, job: str, *, node: str | None = None, after: int = 0, limit: int = 1000
    ) -> Sequence[OutputChunk]:
        """Empty only at the end: a page of nothing but unusable chunks is passed over."""
        position = after
        while True:
            messages = await self._streams.read(
                subjects.OUTPUT, subjects.output_filter(job, node or "*"), from_sequence=position + 1, limit=limit
            )
            chunks = [chunk for message in messages if (chunk := self._chunk(message)) is not None]
            if chunks or not messages:
                return chunks
            position = messages[-1].sequence

    async def follow(self, job: str, *, node: str | None = None, after: int = 0) -> AsyncIterator[OutputChunk]:
        async for message in self._streams.follow(
            subjects.OUTPUT, subjects.output_filter(job, node or "*"), from_sequence=after + 1
        ):
            chunk = self._chunk(message)
            if chunk is not None:
                yield chunk

    async def end(self) -> int:
        return await self._streams.last_sequence(subjects.OUTPUT)

    async def drop(self, job: str) -> None:
        await self._streams.purge(subjects.OUTPUT, subjects.output_filter(job))

    def _chunk(self, message: BusMessage) -> OutputChunk | None:
        try:
            where = subjects.parse_output(message.subject)
            stream = message.headers[HEADER_STREAM]
            offset = int(message.headers[HEADER_OFFSET])
            skipped = int(message.headers.get(HEADER_SKIPPED, "0"))
        except (KeyError, ValueError, IndexError):
            self._counters.add("output_bad_chunks_total")
            return None
        if stream not in _STREAMS or not (0 <= offset <= _OFFSET_MAX and 0 <= skipped <= offset):
            self._counters.add("output_bad_chunks_total")
            return None
        return OutputChunk(
            sequence=message.sequence,
            node=where.node,
            attempt=where.attempt,
            stream=stream,
            offset=offset,
            data=message.data,
            skipped=skipped,
            at=message.at,
        )
