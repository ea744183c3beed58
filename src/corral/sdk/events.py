"""The life of a job as events, in order and without repetition, and the view a reader keeps of it.

`decode` turns the server's SSE events into these; `OutputLedger` puts output together by offset, so that a reconnect or a chunk
sent twice shows nothing twice. `JobView` is what both the CLI and `fleet.run` look at to know whom they still wait for.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from corral.domain.output import Assembler, Gap
from corral.domain.task import RANK, TaskState
from corral.sdk.lines import LineSplitter
from corral.sdk.models import Job, Line, Task, index
from corral.sdk.sse import ServerEvent


@dataclass(frozen=True)
class Snapshot:
    """The job and all its tasks as they stand; comes first, and again after a reconnect."""

    job: Job
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class TasksChanged:
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class JobChanged:
    job: Job


@dataclass(frozen=True)
class Output:
    """Bytes of one stream of one attempt, in order. `missing` bytes before them were dropped by the cap.

    `at` is when the server stored them, in seconds since the epoch; 0.0 where the log does not say.
    """

    node: str
    attempt: int
    stream: str
    offset: int
    data: bytes
    missing: int = 0
    at: float = 0.0


@dataclass(frozen=True)
class Ended:
    """The job is over and all stored output was sent."""

    job: Job


JobEvent = Snapshot | TasksChanged | JobChanged | Output | Ended


class OutputLedger:
    """Assembles every stream of one job. `from_start` False: joined later, so begin where the first chunk does."""

    def __init__(self, *, from_start: bool = True) -> None:
        self._from_start = from_start
        self._streams: dict[tuple[str, int, str], Assembler] = {}

    def feed(self, data: Mapping[str, Any]) -> list[Output]:
        key = (str(data["node"]), int(data.get("attempt", 1)), str(data["stream"]))
        offset, skipped = int(data["offset"]), int(data.get("skipped") or 0)
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = Assembler()
            if not self._from_start:
                stream.position = max(0, offset - skipped)
        start = stream.position
        pieces = stream.feed(offset, base64.b64decode(data.get("data") or ""), skipped)
        return _outputs(key, start, pieces, float(data.get("at") or 0.0))

    def flush(self) -> list[Output]:
        """No more will come: what was held back, its holes named."""
        return [out for key, stream in self._streams.items() for out in _outputs(key, stream.position, stream.finish())]


def _outputs(key: tuple[str, int, str], start: int, pieces: Iterable[bytes | Gap], at: float = 0.0) -> list[Output]:
    made: list[Output] = []
    missing = 0
    for piece in pieces:
        if isinstance(piece, Gap):
            missing += piece.end - piece.start
            start = piece.end
        else:
            made.append(Output(*key, start, piece, missing, at))
            start, missing = start + len(piece), 0
    return made


def decode(event: ServerEvent, ledger: OutputLedger) -> list[JobEvent]:
    """One SSE event → what it means; nothing for an event of a newer server that we do not know."""
    if event.event not in ("snapshot", "task", "job", "output", "end"):
        return []
    data = json.loads(event.data)
    if event.event == "output":
        return list(ledger.feed(data))
    if event.event == "task":
        return [TasksChanged(tuple(Task.from_json(task) for task in data.get("tasks", ())))]
    job = Job.from_json(data.get("job") if isinstance(data.get("job"), dict) else data)
    if event.event == "snapshot":
        tasks = tuple(Task.from_json(task) for task in data.get("tasks") or ()) or job.tasks
        return [Snapshot(job, tasks)]
    if event.event == "end":
        return [*ledger.flush(), Ended(job)]
    return [JobChanged(job)]


@dataclass
class JobView:
    """What is known of a job: feed it events. `awaited` is pinned by the first task list: the nodes not offline then."""

    job: Job
    tasks: dict[str, Task] = field(default_factory=dict)
    awaited: frozenset[str] | None = None
    ended: bool = False
    _open: set[str] = field(default_factory=set)
    _seen: dict[tuple[str, int, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.job.tasks:
            self._pin(self.job.tasks)

    def apply(self, event: JobEvent) -> None:
        if isinstance(event, Output):
            key = (event.node, event.attempt, event.stream)
            self._seen[key] = event.offset + len(event.data)
            return
        if isinstance(event, Snapshot):
            self._pin(event.tasks)
        elif isinstance(event, TasksChanged):
            self._merge(event.tasks)
        elif isinstance(event, Ended):
            self._merge(event.job.tasks)
            self.ended = True
        if isinstance(event, (Snapshot, JobChanged, Ended)):
            self.job = event.job

    def _pin(self, tasks: Iterable[Task]) -> None:
        self._merge(tasks)
        if self.awaited is None and self.tasks:
            self.awaited = frozenset(task.node for task in self.tasks.values() if not task.waits_for_node)

    def _merge(self, tasks: Iterable[Task]) -> None:
        """Never backwards: a task list may be older than the event that came before it."""
        for node, task in index(tasks).items():
            known = self.tasks.get(node)
            if known is None or (task.attempt, _rank(task)) >= (known.attempt, _rank(known)):
                self.tasks[node] = task
                if task.open:
                    self._open.add(node)
                else:
                    self._open.discard(node)

    @property
    def counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for task in self.tasks.values():
            counts[task.state] = counts.get(task.state, 0) + 1
        return counts

    def settled(self, *, everyone: bool) -> bool:
        """Whether all tasks waited for are over: everyone's, or those of the nodes that were online at submission."""
        if self.ended:
            return True
        if self.awaited is None:
            return False
        return not self._open if everyone else self._open.isdisjoint(self.awaited)

    def stalled(self) -> bool:
        """Whether all that is still waited for is queued for nodes that are gone now."""
        left = self._open & (self.awaited or frozenset())
        return bool(left) and all(self.tasks[node].waits_for_node for node in left)

    def all_over(self) -> bool:
        """Every task ended (the `end` event may still be on its way)."""
        return bool(self.tasks) and not self._open

    def complete(self, task: Task) -> bool:
        """Whether this task is over and every byte it wrote has come out."""
        seen = self._seen
        return not task.open and all(
            seen.get((task.node, task.attempt, stream), 0) >= total
            for stream, total in (("stdout", task.stdout_bytes), ("stderr", task.stderr_bytes))
        )

    def output_complete(self) -> bool:
        """Whether every byte that the ended tasks wrote has come out."""
        return self.ended or all(task.open or self.complete(task) for task in self.tasks.values())

    def result(self) -> Job:
        """The job with its tasks, by node. Counts are those of the tasks: the job's own may be older than the last task event."""
        counts = self.counts if len(self.tasks) == self.job.nodes else self.job.counts
        return replace(self.job, counts=counts, tasks=tuple(self.tasks[node] for node in sorted(self.tasks)))


def _rank(task: Task) -> int:
    try:
        return RANK[TaskState(task.state)]
    except ValueError:
        return 0


class LineBook:
    """Output events → lines, whole ones as they complete; `flush` gives the last lines that have no newline."""

    def __init__(self) -> None:
        self._splitters: dict[tuple[str, int, str], LineSplitter] = {}

    def feed(self, out: Output) -> list[Line]:
        key = (out.node, out.attempt, out.stream)
        splitter = self._splitters.get(key)
        if splitter is None:
            splitter = self._splitters[key] = LineSplitter()
        before = splitter.flush() if out.missing else []
        parts = splitter.feed(out.data)
        lines = [Line(out.node, out.stream, part, out.attempt) for part in before + parts]
        if out.missing and parts:
            at = len(before)
            lines[at] = replace(lines[at], missing=out.missing)
        return lines

    def flush(self, node: str | None = None) -> list[Line]:
        """Of one node (its task ended), or of all."""
        return [
            Line(key[0], key[2], part, key[1])
            for key, splitter in self._splitters.items()
            if node is None or key[0] == node
            for part in splitter.flush()
        ]
