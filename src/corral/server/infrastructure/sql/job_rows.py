"""Rows of jobs and tasks ↔ the domain's Job, Task and Delivery. Column lists and their order live here, once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, NamedTuple

from corral.domain.job import Job, JobState, OfflinePolicy, TaskSpec
from corral.domain.kinds import as_mapping, from_mapping
from corral.domain.task import Reason, Task, TaskState
from corral.server.application.ports.jobs import Delivery
from corral.server.infrastructure.sql.job_ledger import JobRow, TaskRow
from corral.server.infrastructure.sql.values import at, loads, moment

TASK_COLUMNS: Final[Mapping[str, str]] = {
    "job": "text",
    "node": "text",
    "attempt": "integer",
    "state": "text",
    "reason": "text",
    "detail": "text",
    "seq": "bigint",
    "exit_code": "integer",
    "signal": "integer",
    "queued_at": "double precision",
    "delivered_at": "double precision",
    "started_at": "double precision",
    "finished_at": "double precision",
    "not_after": "double precision",
    "due_at": "double precision",
    "published": "integer",
    "cancel_asked": "boolean",
    "stdout_bytes": "bigint",
    "stderr_bytes": "bigint",
    "truncated": "boolean",
    "cancel": "text",
    "result": "text",
    "late": "text",
}
"""Name → type in `$rows`, in the order of TaskRow's fields."""
TASK_NAMES: Final = tuple(TASK_COLUMNS)
JOB_COLUMNS: Final = (
    "id",
    "name",
    "kind",
    "target",
    "spec",
    "state",
    "counts",
    "nodes",
    "pinned",
    "created_at",
    "created_by",
    "expires_at",
    "finished_at",
    "concurrency",
    '"offline"',
    "retries",
    "cancel_asked",
    "resource_version",
)
JOB_SELECT: Final = ", ".join(JOB_COLUMNS)
OWED_NAMES: Final = ("job", "node", "attempt", "not_after", "cancel_asked", "published")
OWED_SELECT: Final = ", ".join(f"t.{name}" for name in OWED_NAMES)
_SPEC_KEPT_CHARS: Final = 4096
_STATES: Final = {state.value: state for state in TaskState}
_REASONS: Final = {reason.value: reason for reason in Reason}
_JOB_STATES: Final = {state.value: state for state in JobState}


def task_select(alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in TASK_COLUMNS)


def task_row(row: Sequence[Any]) -> TaskRow:
    """From a result row that holds TASK_COLUMNS in order (SQLite gives booleans as 0 and 1)."""
    made = TaskRow(*row)
    made.state = _STATES[made.state]
    made.cancel_asked = bool(made.cancel_asked)
    made.truncated = bool(made.truncated)
    return made


task_values: Final[Callable[[TaskRow], tuple[Any, ...]]] = attrgetter(*TASK_COLUMNS)
"""A row's values in the order of TASK_COLUMNS."""


def to_task(row: TaskRow) -> Task:
    """Fills the fields directly: a frozen dataclass's own constructor takes three times as long, and every report makes one."""
    task = Task.__new__(Task)
    task.__dict__.update(
        job=row.job,
        node=row.node,
        attempt=row.attempt,
        state=row.state,
        reason=_REASONS.get(row.reason, Reason.NONE),
        detail=row.detail,
        seq=row.seq,
        exit_code=row.exit_code,
        signal=row.signal,
        queued_at=at(row.queued_at),
        delivered_at=moment(row.delivered_at),
        started_at=moment(row.started_at),
        finished_at=moment(row.finished_at),
        not_after=at(row.not_after),
        cancel_asked=row.cancel_asked,
        stdout_bytes=row.stdout_bytes,
        stderr_bytes=row.stderr_bytes,
        truncated=row.truncated,
        unreachable=False,
        cancel=loads(row.cancel),
        result=loads(row.result),
        late=loads(row.late),
    )
    return task


def attempt_text(row: TaskRow) -> str:
    """An ended attempt as task_attempts keeps it."""
    return json.dumps(dict(zip(TASK_COLUMNS, task_values(row), strict=True)), separators=(",", ":"))


def attempt_row(text: str) -> TaskRow:
    """The inverse of attempt_text; columns added since then take the value of an empty column."""
    data = json.loads(text)
    return task_row([data.get(name) for name in TASK_COLUMNS])


def counts_text(counts: Mapping[TaskState, int]) -> str:
    return json.dumps({state.value: count for state, count in counts.items() if count})


def counts_of(text: str) -> dict[TaskState, int]:
    return {_STATES[name]: count for name, count in json.loads(text).items()}


def to_job(row: Sequence[Any]) -> Job:
    """From a result row that holds JOB_COLUMNS in order."""
    (id_, name, kind, target, spec, state, counts, nodes, pinned, created_at, created_by, expires_at, finished_at) = (
        row[:13]
    )
    concurrency, offline, retries, cancel_asked, version = row[13:18]
    return Job(
        id=id_,
        name=name,
        kind=kind,
        target=target,
        spec=spec_of(kind, spec),
        state=_JOB_STATES[state],
        counts=counts_of(counts),
        nodes=nodes,
        pinned=pinned,
        created_at=at(created_at),
        created_by=created_by,
        expires_at=at(expires_at),
        finished_at=moment(finished_at),
        concurrency=concurrency,
        offline=OfflinePolicy(offline),
        retries=retries,
        cancel_asked=bool(cancel_asked),
        resource_version=version,
    )


def job_row(row: Sequence[Any]) -> JobRow:
    """From `id, state, counts, held, concurrency, retries, cancel_asked, expires_at, window, finished_at, awaiting`."""
    id_, state, counts, held, concurrency, retries, cancel_asked, expires_at, window, finished_at, awaiting = row
    return JobRow(
        id=id_,
        state=_JOB_STATES[state],
        counts=counts_of(counts),
        held=held,
        concurrency=concurrency,
        retries=retries,
        cancel_asked=bool(cancel_asked),
        expires_at=expires_at,
        window=window,
        finished_at=finished_at,
        awaiting=bool(awaiting),
    )


def spec_text(spec: TaskSpec) -> str:
    return json.dumps(as_mapping(spec), separators=(",", ":"))


def spec_of(kind: str, text: str) -> TaskSpec:
    """Specs are immutable, and a list of jobs shows the same few again and again."""
    return _small_spec(kind, text) if len(text) <= _SPEC_KEPT_CHARS else from_mapping(kind, json.loads(text))


@lru_cache(maxsize=512)
def _small_spec(kind: str, text: str) -> TaskSpec:
    return from_mapping(kind, json.loads(text))


class Owed(NamedTuple):
    """The columns a delivery needs, in the order of OWED_NAMES."""

    job: str
    node: str
    attempt: int
    not_after: float
    cancel_asked: bool
    published: int


def to_delivery(row: TaskRow | Owed, kind: str, spec: TaskSpec) -> Delivery:
    return Delivery(
        job=row.job,
        node=row.node,
        attempt=row.attempt,
        kind=kind,
        spec=spec,
        not_after=at(row.not_after),
        cancel=bool(row.cancel_asked),
        published=row.published,
    )
