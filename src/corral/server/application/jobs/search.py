"""Looking for a text in what jobs printed: the newest jobs first, within a bounded time, with a cursor to go on from.

Output is not in SQL and has no index: each job's stream is read. So a search is a walk with a budget, which says how far it came
instead of being slow: a page ends after SECONDS or HITS, and the next one goes on behind the last job it looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from corral.domain.errors import Invalid
from corral.domain.job import Job
from corral.runtime.clock import Clock
from corral.server.application.jobs.listing import inside
from corral.server.application.jobs.pump import PAGE
from corral.server.application.jobs.sight import OUTPUT, JobSight, check_output
from corral.server.application.ports.access import Caller
from corral.server.application.ports.jobs import JobFilter, JobQueries, OutputChunk, OutputLog

SECONDS: Final = 2.0
HITS: Final = 50
HITS_OF_JOB: Final = 5
TEXT_CHARS: Final = 200
LINE_CHARS: Final = 400
JOB_BYTES_MAX: Final = 32 << 20
"""How far into one job's output a search reads."""


@dataclass(frozen=True, kw_only=True)
class Hit:
    """`line` is the line that holds the text, cut around it."""

    node: str
    stream: str
    line: str


@dataclass(frozen=True, kw_only=True)
class Found:
    """`more`: of this job at least one hit was not kept, or its output was not read to its end."""

    job: Job
    hits: Sequence[Hit]
    more: bool


@dataclass(frozen=True, kw_only=True)
class FoundPage:
    """`looked` jobs were read. `next`: go on from there; None when all were."""

    items: Sequence[Found]
    looked: int
    next: str | None


class OutputSearch:
    """Use case. Only output on nodes where the caller has output.read is looked at."""

    def __init__(self, *, queries: JobQueries, log: OutputLog, sight: JobSight, clock: Clock) -> None:
        self._queries = queries
        self._log = log
        self._sight = sight
        self._clock = clock

    async def find(
        self, caller: Caller, text: str, only: JobFilter, *, cursor: str | None = None, seconds: float = SECONDS
    ) -> FoundPage:
        """Raises Invalid for a text that is none, Denied without output.read. Letters match whatever their case."""
        check_output(caller)
        if not text.strip() or len(text) > TEXT_CHARS or "\n" in text:
            raise Invalid(
                f"cannot search for {text[:40]!r}: expected one line of 1 to {TEXT_CHARS} characters", element="text"
            )
        shown = self._sight.everywhere(caller, OUTPUT)
        only = replace(only, nodes=inside(shown, only.nodes))
        until = self._clock.monotonic() + seconds
        found: list[Found] = []
        looked = hits = 0
        while True:
            # one at a time: its cursor is where the next search goes on
            page = await self._queries.list(
                states=only.states,
                nodes=only.nodes,
                by=only.by,
                since=only.since,
                until=only.until,
                limit=1,
                cursor=cursor,
            )
            for job in page.items:
                looked += 1
                lines, more = await self._in_job(job.id, text.casefold(), only.nodes)
                if lines:
                    found.append(Found(job=job, hits=lines, more=more))
                    hits += len(lines)
            cursor = page.next
            if cursor is None or hits >= HITS or self._clock.monotonic() >= until:
                return FoundPage(items=found, looked=looked, next=cursor)

    async def _in_job(self, job: str, wanted: str, nodes: Collection[str] | None) -> tuple[list[Hit], bool]:
        hits: list[Hit] = []
        begun: dict[tuple[str, int, str], str] = {}
        after = read = 0
        while chunks := await self._log.read(job, after=after, limit=PAGE):
            after = chunks[-1].sequence
            for chunk in chunks:
                read += len(chunk.data)
                if nodes is not None and chunk.node not in nodes:
                    continue
                for line in _lines(begun, chunk):
                    if wanted in line.casefold():
                        if len(hits) == HITS_OF_JOB:
                            return hits, True
                        hits.append(Hit(node=chunk.node, stream=chunk.stream, line=_around(line, wanted)))
            if read > JOB_BYTES_MAX:
                return hits, True
        return hits + _unended(begun, wanted, HITS_OF_JOB - len(hits)), False


def _lines(begun: dict[tuple[str, int, str], str], chunk: OutputChunk) -> Sequence[str]:
    """The lines this chunk ends; what it begins is kept for the next one of the same stream."""
    key = (chunk.node, chunk.attempt, chunk.stream)
    text = begun.pop(key, "") + chunk.data.decode("utf-8", "replace")
    *whole, rest = text.split("\n")
    # a line without an end must not grow without one either
    begun[key] = rest[-LINE_CHARS * 4 :]
    return whole


def _unended(begun: Mapping[tuple[str, int, str], str], wanted: str, room: int) -> list[Hit]:
    found = [
        Hit(node=node, stream=stream, line=_around(line, wanted))
        for (node, _, stream), line in begun.items()
        if wanted in line.casefold()
    ]
    return found[: max(0, room)]


def _around(line: str, wanted: str) -> str:
    if len(line) <= LINE_CHARS:
        return line.rstrip("\r")
    at = max(0, line.casefold().find(wanted) - LINE_CHARS // 4)
    return ("…" if at else "") + line[at : at + LINE_CHARS] + "…"
