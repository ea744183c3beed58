"""One node's share of a job. Rule 1: everything that affects a task's state and its transitions lives in this file.

A task is (job_id, node_id); attempts count from 1. Every (job, node) has one visible state and a reason, and ends in exactly
one terminal state. A result that arrives after `lost`, `expired` or `interrupted` is kept as `late` and changes nothing.
The diagram in docs/architecture.md is drawn from TRANSITIONS by `python -m corral.testing.diagram`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from corral.domain.errors import WrongState


class TaskState(StrEnum):
    QUEUED = "queued"
    DELIVERED = "delivered"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    INTERRUPTED = "interrupted"
    LOST = "lost"


OPEN: Final = frozenset({TaskState.QUEUED, TaskState.DELIVERED, TaskState.RUNNING})
TERMINAL: Final = frozenset(TaskState) - OPEN
NODE_DECIDES: Final = frozenset(
    {
        TaskState.DELIVERED,
        TaskState.RUNNING,
        TaskState.SUCCEEDED,
        TaskState.FAILED,
        TaskState.TIMED_OUT,
        TaskState.CANCELLED,
        TaskState.REJECTED,
        TaskState.EXPIRED,
        TaskState.INTERRUPTED,
    }
)
"""States a node may report. The server alone says `queued` and `lost`; it says `expired` and `cancelled` too for what never left it."""

TRANSITIONS: Final[Mapping[TaskState, frozenset[TaskState]]] = {
    TaskState.QUEUED: frozenset(TaskState) - {TaskState.QUEUED},
    TaskState.DELIVERED: frozenset(TaskState) - {TaskState.QUEUED, TaskState.DELIVERED},
    TaskState.RUNNING: TERMINAL - {TaskState.EXPIRED},
} | {state: frozenset() for state in TERMINAL}
"""From → allowed next, within one attempt. A retry is a new attempt, which starts at `queued` again (retry() below)."""

RANK: Final[Mapping[TaskState, int]] = {
    TaskState.QUEUED: 0,
    TaskState.DELIVERED: 1,
    TaskState.RUNNING: 2,
    **dict.fromkeys(TERMINAL, 3),
}
"""A report moves a task forward in rank only, so duplicates and reordering change nothing."""


def may_move(current: TaskState, new: TaskState) -> bool:
    return new in TRANSITIONS[current]


def move(current: TaskState, new: TaskState) -> TaskState:
    """Return `new`; raise WrongState naming both when the table does not allow it."""
    if not may_move(current, new):
        raise WrongState(f"cannot move a task from {current.value!r} to {new.value!r}", element="state")
    return new


def may_retry(current: TaskState) -> bool:
    """A new attempt may start once the old one ended without success."""
    return current in TERMINAL and current is not TaskState.SUCCEEDED


class Reason(StrEnum):
    """Why a task is where it is; machine-readable, with the words people see in REASON_TEXT."""

    NONE = ""
    OFFLINE = "offline"
    SLOT = "slot"
    CONCURRENCY = "concurrency"
    APPROVAL = "approval"
    DISPATCHED = "dispatched"
    POLICY = "policy"
    SIGNATURE = "signature"
    SCHEMA = "schema"
    NOT_DELIVERED = "not_delivered"
    OFFLINE_SKIPPED = "offline_skipped"
    REBOOT = "reboot"
    WRAPPER_GONE = "wrapper_gone"
    NODE_GONE = "node_gone"
    NODE_REMOVED = "node_removed"
    JOURNAL_RESET = "journal_reset"
    WITHDRAWN = "withdrawn"
    KILLED = "killed"
    TIMEOUT = "timeout"
    SPAWN = "spawn"
    EXECUTOR = "executor"


REASON_TEXT: Final[Mapping[Reason, str]] = {
    Reason.NONE: "",
    Reason.OFFLINE: "the node is offline; it gets the task when it connects",
    Reason.SLOT: "waiting for a free slot on the node",
    Reason.CONCURRENCY: "held back by the job's --concurrency",
    Reason.APPROVAL: "waiting for approval",
    Reason.DISPATCHED: "sent, not yet acknowledged by the node",
    Reason.POLICY: "the node's policy refused it",
    Reason.SIGNATURE: "the node refused the signature",
    Reason.SCHEMA: "the node does not understand the spec",
    Reason.NOT_DELIVERED: "never delivered before its deadline",
    Reason.OFFLINE_SKIPPED: "the node was offline and the job said --offline skip",
    Reason.REBOOT: "the machine went down while it ran; the outcome is unknown",
    Reason.WRAPPER_GONE: "its processes were killed from outside while it ran; the outcome is unknown",
    Reason.NODE_GONE: "the node has been gone for longer than lost_after",
    Reason.NODE_REMOVED: "the node was removed",
    Reason.JOURNAL_RESET: "the node's journal was lost or corrupt",
    Reason.WITHDRAWN: "cancelled before it started",
    Reason.KILLED: "cancelled; its process tree was stopped",
    Reason.TIMEOUT: "ran longer than its time limit and was stopped",
    Reason.SPAWN: "the command could not be started",
    Reason.EXECUTOR: "the node has no executor for it, or its driver is not installed",
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a node says of one attempt at one moment: a state, when each step happened, and the figures of the end.

    `seq` grows with every report of the same attempt; the server ignores what is not newer than what it has.
    Byte counts are those the command wrote, also beyond the kept part (`truncated`).
    """

    job: str
    attempt: int
    seq: int
    state: TaskState
    reason: Reason = Reason.NONE
    detail: str = ""
    exit_code: int | None = None
    signal: int | None = None
    delivered_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    truncated: bool = False
    cancel: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One row of the truth: what one node owes one job. Times are aware UTC."""

    job: str
    node: str
    attempt: int = 1
    state: TaskState = TaskState.QUEUED
    reason: Reason = Reason.NONE
    detail: str = ""
    seq: int = 0
    exit_code: int | None = None
    signal: int | None = None
    queued_at: datetime | None = None
    delivered_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    not_after: datetime | None = None
    cancel_asked: bool = False
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    truncated: bool = False
    unreachable: bool = False
    cancel: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    late: Mapping[str, Any] = field(default_factory=dict)


def summary(states: Iterable[TaskState]) -> dict[TaskState, int]:
    """State → how many; states that nobody is in are left out."""
    counts: dict[TaskState, int] = {}
    for state in states:
        counts[state] = counts.get(state, 0) + 1
    return counts
