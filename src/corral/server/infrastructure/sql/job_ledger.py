"""The bookkeeping of jobs and tasks inside one transaction: pure decisions on rows that a store loaded and will save.

Rules that hold after every entry: each task has one state, which moves only as domain.task.TRANSITIONS says; `counts` of a job
are exactly the states of its tasks and `held` exactly the tasks held back; a job with a concurrency has at most that many tasks
out; a job is over when, and only when, its last task is. The SQL store and the fake in corral.testing.stores share this file,
so they cannot disagree about what a report means.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from corral.domain.job import JobState, job_state
from corral.domain.task import NODE_DECIDES, OPEN, Outcome, Reason, TaskState, may_move, may_retry
from corral.runtime.backoff import redeliver_delay
from corral.server.infrastructure.sql.values import clean, clean_count, clean_int32, clean_seconds, dumps

AUTO_RETRIED: Final = frozenset({TaskState.FAILED, TaskState.TIMED_OUT})
"""Ends that `--retry N` tries again; the others were decided by somebody, or have an unknown outcome."""
LATE_AFTER: Final = frozenset({TaskState.LOST, TaskState.EXPIRED, TaskState.INTERRUPTED})
EXPIRE_GRACE_SECONDS: Final = 30.0


@dataclass(slots=True)
class TaskRow:
    """One row of `tasks`, in the order of TASK_COLUMNS; maps are JSON text, times seconds."""

    job: str
    node: str
    attempt: int
    state: TaskState
    reason: str
    detail: str
    seq: int
    exit_code: int | None
    signal: int | None
    queued_at: float
    delivered_at: float | None
    started_at: float | None
    finished_at: float | None
    not_after: float
    due_at: float | None
    published: int
    cancel_asked: bool
    stdout_bytes: int
    stderr_bytes: int
    truncated: bool
    cancel: str
    result: str
    late: str

    @property
    def held(self) -> bool:
        """Held back: queued, and due to nobody."""
        return self.due_at is None and self.state is TaskState.QUEUED


@dataclass(slots=True)
class JobRow:
    """What the bookkeeping needs of one row of `jobs`."""

    id: str
    state: JobState
    counts: dict[TaskState, int]
    held: int
    concurrency: int | None
    retries: int
    cancel_asked: bool
    expires_at: float
    window: float
    finished_at: float | None
    awaiting: bool = False
    """It waits for an approval: nothing of it goes out."""


@dataclass(slots=True)
class Ledger:
    """What one transaction does. Feed it rows and events, then save `changed`, `ended_attempts`, `bygone` and `dirty`.

    `before` is what each changed row was when loaded (the guard of the UPDATE); `bygone` are results of earlier attempts,
    `landed` the ends that name a path on their node.
    """

    jobs: dict[str, JobRow]
    now: float
    changed: dict[tuple[str, str], TaskRow] = field(default_factory=dict)
    before: dict[tuple[str, str], tuple[int, int, TaskState]] = field(default_factory=dict)
    ended_attempts: list[TaskRow] = field(default_factory=list)
    bygone: list[tuple[str, Outcome]] = field(default_factory=list)
    landed: list[tuple[str, Outcome]] = field(default_factory=list)
    released: dict[tuple[str, str], TaskRow] = field(default_factory=dict)
    dirty: set[str] = field(default_factory=set)
    ignored: int = 0

    # What a node said -----------------------------------------------------------------------------------------------

    def report(self, row: TaskRow, said: Outcome) -> None:
        """One report. Old, repeated, foreign or impossible ones change nothing and are counted."""
        if said.attempt < row.attempt and said.state not in OPEN:
            self.bygone.append((row.node, said))
        if said.attempt != row.attempt or said.seq <= row.seq or said.state not in NODE_DECIDES:
            self.ignored += 1
            return
        if row.state not in OPEN:
            self._late(row, said)
            return
        if row.held:  # it was never sent: only a hostile node could answer it
            self.ignored += 1
            return
        if said.state is not row.state and not may_move(row.state, said.state):
            self.ignored += 1
            return
        self._touch(row)
        row.seq = clean_count(said.seq)
        row.reason = said.reason.value
        row.detail = clean(said.detail)
        row.delivered_at = _first(row.delivered_at, clean_seconds(said.delivered_at))
        row.started_at = _first(row.started_at, clean_seconds(said.started_at))
        if said.state in OPEN:
            self._shift(row, said.state)
            if not row.cancel_asked:
                row.due_at = None
            return
        row.exit_code = clean_int32(said.exit_code)
        row.signal = clean_int32(said.signal)
        row.stdout_bytes = clean_count(said.stdout_bytes)
        row.stderr_bytes = clean_count(said.stderr_bytes)
        row.truncated = said.truncated
        row.cancel = dumps(said.cancel)
        row.result = dumps(said.result)
        self._land(row, said)
        self._finish(row, said.state, clean_seconds(said.finished_at))
        job = self.jobs[row.job]
        if said.state in AUTO_RETRIED and row.attempt <= job.retries and not row.cancel_asked:
            self._next_attempt(row)
            self._out(row)

    def _late(self, row: TaskRow, said: Outcome) -> None:
        """The real result of a task we had given up: kept once, shown, and changes no state."""
        given_up = row.state in LATE_AFTER or (
            row.state is TaskState.CANCELLED and row.reason == Reason.WITHDRAWN.value
        )
        if not given_up or said.state in OPEN or said.state is row.state or row.late != "{}":
            self.ignored += 1
            return
        self._touch(row)
        row.late = late_text(said, self.now)
        self._land(row, said)

    def _land(self, row: TaskRow, said: Outcome) -> None:
        if "dest" in said.result:
            self.landed.append((row.node, said))

    # What the server decides ----------------------------------------------------------------------------------------

    def end(self, row: TaskRow, state: TaskState, reason: Reason) -> None:
        """End an open task without its node."""
        if may_move(row.state, state):
            self._touch(row)
            row.reason = reason.value
            self._finish(row, state, None)

    def expire(self, row: TaskRow) -> None:
        """A queued task whose time passed: cancelled when somebody had asked for that, else expired."""
        if row.state is not TaskState.QUEUED or row.not_after + EXPIRE_GRACE_SECONDS > self.now:
            return
        if row.cancel_asked:
            self.end(row, TaskState.CANCELLED, Reason.WITHDRAWN)
        else:
            self.end(row, TaskState.EXPIRED, Reason.NOT_DELIVERED)

    def lose(self, row: TaskRow) -> None:
        """Its node has been gone for too long."""
        if row.state in OPEN and row.state is not TaskState.QUEUED:
            self.end(row, TaskState.LOST, Reason.NODE_GONE)

    def cancel(self, row: TaskRow, *, offline: bool) -> None:
        """Withdraw what cannot have started; everything else hears of the cancel and ends by its own report.

        A queued task of a node that is offline counts as not started: should it turn out that it was, its result is `late`.
        """
        if row.state not in OPEN:
            return
        self._touch(row)
        row.cancel_asked = True
        if row.held or (offline and row.state is TaskState.QUEUED):
            self.end(row, TaskState.CANCELLED, Reason.WITHDRAWN)
        else:
            self._publish(row)

    def retry(self, row: TaskRow) -> None:
        """The next attempt of what ended without success; it waits for its turn when the job has a concurrency."""
        if not may_retry(row.state):
            return
        job = self.jobs[row.job]
        self._touch(row)
        self._next_attempt(row)
        if job.concurrency is None and not job.awaiting:
            self._out(row)
        else:
            row.reason = (Reason.APPROVAL if job.awaiting else Reason.CONCURRENCY).value
            job.held += 1

    def ask_cancel(self, job: JobRow) -> None:
        if not job.cancel_asked:
            job.cancel_asked = True
            self.dirty.add(job.id)

    def forgive(self, job: JobRow) -> None:
        """Before a retry: an old cancel no longer counts."""
        if job.cancel_asked:
            job.cancel_asked = False
            self.dirty.add(job.id)

    def approved(self, job: JobRow) -> None:
        """What was held back for it may go out now."""
        job.awaiting = False
        self.dirty.add(job.id)

    # Concurrency ----------------------------------------------------------------------------------------------------

    def room(self, job: JobRow) -> int:
        """How many held tasks may go out now."""
        if job.awaiting or not job.held:
            return 0
        if job.concurrency is None:
            return job.held
        out = sum(count for state, count in job.counts.items() if state in OPEN) - job.held
        return max(0, min(job.held, job.concurrency - out))

    def release(self, rows: Iterable[TaskRow]) -> None:
        for row in rows:
            self._touch(row)
            self.jobs[row.job].held -= 1
            self.dirty.add(row.job)
            self._out(row)

    # The end of the transaction -------------------------------------------------------------------------------------

    def close(self) -> list[str]:
        """Settle the states of the jobs that were touched; the ids of those that ended."""
        ended = []
        for job_id in sorted(self.dirty):
            job = self.jobs[job_id]
            state = job_state(job.counts, cancel_asked=job.cancel_asked)
            if state is not JobState.OPEN and job.state is JobState.OPEN:
                job.finished_at = self.now
                job.awaiting = False
                ended.append(job_id)
            elif state is JobState.OPEN:
                job.finished_at = None
            job.state = state
        return ended

    def saved(self) -> None:
        """What changed so far is stored; what follows is saved on its own."""
        self.before.clear()
        self.dirty.clear()
        self.ended_attempts.clear()
        self.bygone.clear()

    # Steps ----------------------------------------------------------------------------------------------------------

    def _touch(self, row: TaskRow) -> None:
        key = (row.job, row.node)
        if key not in self.before:
            self.changed[key] = row
            self.before[key] = (row.attempt, row.seq, row.state)

    def _shift(self, row: TaskRow, state: TaskState) -> None:
        """Move the row and its count; a held row that moves is held no more."""
        if state is row.state:
            return
        job = self.jobs[row.job]
        if row.held:
            job.held -= 1
        left = job.counts.get(row.state, 0) - 1
        if left > 0:
            job.counts[row.state] = left
        else:
            job.counts.pop(row.state, None)
        job.counts[state] = job.counts.get(state, 0) + 1
        row.state = state
        self.dirty.add(job.id)

    def _finish(self, row: TaskRow, state: TaskState, when: float | None) -> None:
        self._shift(row, state)
        row.finished_at = self.now if when is None else when
        row.due_at = None
        self.released.pop((row.job, row.node), None)

    def _next_attempt(self, row: TaskRow) -> None:
        self.ended_attempts.append(replace(row))
        job = self.jobs[row.job]
        self._shift(row, TaskState.QUEUED)
        row.attempt += 1
        row.seq = row.published = row.stdout_bytes = row.stderr_bytes = 0
        row.reason = row.detail = ""
        row.exit_code = row.signal = None
        row.delivered_at = row.started_at = row.finished_at = row.due_at = None
        row.queued_at = self.now
        row.not_after = self.now + job.window
        job.expires_at = max(job.expires_at, row.not_after)
        row.cancel_asked = row.truncated = False
        row.cancel = row.result = row.late = "{}"

    def _out(self, row: TaskRow) -> None:
        row.reason = Reason.DISPATCHED.value
        self._publish(row)

    def _publish(self, row: TaskRow) -> None:
        """The caller pushes it right after the commit; the first repetition follows from `due`."""
        row.published = 1
        row.due_at = self.now + redeliver_delay(0, len(self.released))
        self.released[(row.job, row.node)] = row


def keep_bygone(row: TaskRow, said: Outcome, now: float) -> bool:
    """Keep the result of an earlier attempt that had been given up; whether there was anything to keep."""
    if row.state not in LATE_AFTER or row.state is said.state or row.late != "{}":
        return False
    row.late = late_text(said, now)
    return True


def late_text(said: Outcome, now: float) -> str:
    """The `late` map of a task: what its node said after all."""
    return dumps(
        {
            "state": said.state.value,
            "reason": said.reason.value,
            "detail": clean(said.detail),
            "exit_code": clean_int32(said.exit_code),
            "signal": clean_int32(said.signal),
            "started_at": clean_seconds(said.started_at),
            "finished_at": clean_seconds(said.finished_at),
            "stdout_bytes": clean_count(said.stdout_bytes),
            "stderr_bytes": clean_count(said.stderr_bytes),
            "truncated": said.truncated,
            "received_at": now,
        }
    )


def _first(have: float | None, said: float | None) -> float | None:
    return said if have is None else have
