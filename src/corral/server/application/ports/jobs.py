"""Ports of the jobs room: the truth in SQL, the way down to nodes, the output that came up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from corral.domain.approval import Approval
from corral.domain.job import Job, JobState, TaskSpec
from corral.domain.task import Outcome, Reason, Task, TaskState


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What the dispatcher pushes: one attempt of one task, or the cancel of it."""

    job: str
    node: str
    attempt: int
    kind: str
    spec: TaskSpec
    not_after: datetime
    cancel: bool = False
    published: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class NewTask:
    """A task at submission: open and due, held back (`due` false), or already terminal (offline, skipped)."""

    node: str
    state: TaskState = TaskState.QUEUED
    reason: Reason = Reason.NONE
    due: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Reported:
    """One report of one node, as ingest hands it to SQL."""

    node: str
    outcome: Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class Changed:
    """What a batch did: the tasks that moved, the jobs that ended, and what the caller pushes now (slots freed, retries, cancels).

    `ignored` counts reports that changed nothing: duplicates, old ones, of tasks that do not exist or are another node's.
    """

    tasks: Sequence[Task] = ()
    ended: Sequence[Job] = ()
    released: Sequence[Delivery] = ()
    ignored: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Fence:
    """What must still be true when a rollout's job is committed: this leader leads, and the rollout is at this version.

    Checked in the transaction that inserts the job, so neither a leader that was replaced nor one that has not yet heard of a pause
    starts anything.
    """

    token: int
    rollout: str
    version: int


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What `by` says of an approval."""

    approval: str
    approve: bool
    by: str
    user: str = ""
    note: str = ""


class JobStore(Protocol):
    """Jobs and their tasks: written by submit, cancel, retry, ingest; each method is one transaction."""

    async def add(
        self,
        job: Job,
        tasks: Sequence[NewTask],
        *,
        operation: str | None,
        fence: Fence | None = None,
        approval: Approval | None = None,
    ) -> Job:
        """Insert the job with its tasks; committed when it returns. The same `operation` again returns the first job.

        With `approval` nothing of it goes out before `decide` said so.
        Raises Conflict (retryable) and changes nothing when `fence` does not hold.
        """
        ...

    async def decide(self, decision: Decision, *, now: datetime) -> tuple[Approval, Changed]:
        """Approved: what was held back for it goes out; denied: the job is cancelled. One transaction with the check that job and
        nodes are what was asked for. Raises NotFound, Denied, WrongState (domain.approval.decided).
        """
        ...

    async def apply(self, reports: Sequence[Reported], *, now: datetime) -> Changed:
        """Apply a batch in ONE transaction with set statements: transition guard, attempt and seq in the WHERE.

        Late results of lost/expired/interrupted tasks are kept in `late`. Automatic retries start their next attempt here.
        """
        ...

    async def cancel(
        self, job: str, *, nodes: Sequence[str] | None, offline: Collection[str] = frozenset(), now: datetime
    ) -> Changed:
        """Withdraw at once what cannot have started: held back, or still queued for a node in `offline`.

        The rest is cancel-asked and in `released`, and due again until it ends. A node in `offline` that had it after all
        reports a late result.
        """
        ...

    async def retry(self, job: str, *, nodes: Sequence[str] | None, now: datetime) -> Changed:
        """attempt + 1 for each task that may retry; the job is open again."""
        ...

    async def due(self, *, now: datetime, limit: int) -> Sequence[Delivery]:
        """Deliveries whose time has come, oldest first; marks each as published once more and due again after REDELIVER's delay."""
        ...

    async def open_for(self, node: str, *, limit: int, after: tuple[str, int] | None = None) -> Sequence[Delivery]:
        """What a node owes, cancels first, then oldest first: for sync."""
        ...

    async def expire(self, *, now: datetime, lost_before: datetime) -> Changed:
        """Queued past not_after + 30 s → expired; delivered or running on nodes not seen since `lost_before` → lost."""
        ...

    async def settle_node(
        self,
        node: str,
        *,
        state: TaskState,
        reason: Reason,
        now: datetime,
        items: Collection[tuple[str, int]] | None = None,
    ) -> Changed:
        """End every open task of a node (it was removed), or only those (job, attempt) of `items` it had accepted (journal reset)."""
        ...


@dataclass(frozen=True, kw_only=True)
class TaskPage:
    items: Sequence[Task]
    next: str | None = None


@dataclass(frozen=True, kw_only=True)
class JobPage:
    items: Sequence[Job]
    next: str | None = None


@dataclass(frozen=True, kw_only=True)
class NodeTaskPage:
    """What ran on one node: its tasks, each with the job it belongs to."""

    items: Sequence[tuple[Job, Task]]
    next: str | None = None


@dataclass(frozen=True, kw_only=True)
class JobFilter:
    """Which jobs; all that is given must hold. `nodes`: with a task on one of these. Times are those of the submission."""

    states: Sequence[JobState] = ()
    nodes: Collection[str] | None = None
    by: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class JobQueries(Protocol):
    """Reads for people; keyset paged, never blocking the writer."""

    async def get(self, job: str) -> Job:
        """Raises NotFound."""
        ...

    async def list(
        self,
        *,
        states: Sequence[JobState] = (),
        nodes: Collection[str] | None = None,
        by: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> JobPage:
        """Newest first; the keywords are those of JobFilter."""
        ...

    async def nodes(self, job: str) -> Sequence[str]:
        """Sorted; none when there is no such job."""
        ...

    async def tasks(
        self, job: str, *, states: Sequence[TaskState] = (), limit: int = 1000, cursor: str | None = None
    ) -> TaskPage: ...

    async def with_tasks(
        self,
        job: str,
        *,
        states: Sequence[TaskState] = (),
        nodes: Collection[str] | None = None,
        limit: int = 1000,
        cursor: str | None = None,
    ) -> tuple[Job, TaskPage]:
        """`get` and `tasks` in one go. `nodes`: only the tasks of these."""
        ...

    async def of_node(self, node: str, *, limit: int = 50, cursor: str | None = None) -> NodeTaskPage:
        """The tasks of a node, those of the newest job first."""
        ...

    async def task(self, job: str, node: str) -> Task:
        """Raises NotFound."""
        ...

    async def with_task(self, job: str, node: str) -> tuple[Job, Task, Sequence[Task]]:
        """`get`, `task` and `attempts` in one go."""
        ...

    async def attempts(self, job: str, node: str) -> Sequence[Task]:
        """Ended earlier attempts, oldest first."""
        ...

    async def open_digests(self, nodes: Sequence[str]) -> Mapping[str, frozenset[tuple[str, int]]]:
        """Node → {(job, attempt)} the server believes accepted and unsettled, to compare with the beat's digest."""
        ...

    async def open_count(self, node: str) -> int: ...

    async def settled(self, node: str, items: Sequence[tuple[str, int]]) -> Sequence[tuple[str, int]]:
        """Those of `items` that are terminal, of an older attempt, or unknown: what a node may forget."""
        ...


class Down(Protocol):
    """The way to nodes. Signs, publishes, forgets; SQL and sync repair what is lost."""

    async def push(self, deliveries: Sequence[Delivery]) -> None: ...

    async def receipt(self, tokens: Mapping[str, Sequence[str]]) -> None:
        """Node → report tokens that are durably stored."""
        ...

    async def poke(self, nodes: Sequence[str]) -> None:
        """Ask nodes to sync."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputChunk:
    """A byte range of one stream of one attempt. `sequence` orders chunks of all nodes and resumes a follower.

    `at` is when it was stored, in seconds since the epoch; 0.0 where the log does not say.
    """

    sequence: int
    node: str
    attempt: int
    stream: str
    offset: int
    data: bytes
    skipped: int = 0
    at: float = 0.0


class OutputLog(Protocol):
    """Task output: in the engine's stream, and in the archive once the task ended."""

    async def read(
        self, job: str, *, node: str | None = None, after: int = 0, limit: int = 1000
    ) -> Sequence[OutputChunk]: ...

    def follow(self, job: str, *, node: str | None = None, after: int = 0) -> AsyncIterator[OutputChunk]: ...

    async def end(self) -> int:
        """The sequence of the newest stored chunk of any job: a follower that reached it has seen everything so far."""
        ...

    async def drop(self, job: str) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    subject: str
    reason: str
    body: bytes
    node: str = ""
    at: datetime | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


class DeadLetters(Protocol):
    """What could not be understood, with its reason; at most 100 an hour per node are kept, the rest is counted."""

    async def add(self, letters: Sequence[DeadLetter]) -> None: ...

    async def list(self, *, limit: int = 50) -> Sequence[DeadLetter]: ...
