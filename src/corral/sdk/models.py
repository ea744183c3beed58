"""What the server answers, as frozen dataclasses. Unknown fields are ignored and missing ones take their default, so that this
client understands a newer and an older server; `raw` keeps the answer as it came (what `-o json` prints).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Self

from corral.domain.task import OPEN, TaskState

_OPEN = frozenset(state.value for state in OPEN)


def parse_time(value: object) -> datetime | None:
    """RFC 3339 → aware datetime; None for what is no time."""
    if not isinstance(value, str) or not value:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Base of all answers: builds itself from JSON."""

    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        values: dict[str, Any] = {"raw": data}
        for item in fields(cls):
            value = data.get(item.name)
            if item.name == "raw" or value is None:
                continue
            if item.name == "tasks":
                value = tuple(Task.from_json(task) for task in value)
            elif item.type == "datetime | None":
                value = parse_time(value)
            elif item.type == "tuple[str, ...]":
                value = tuple(value)
            values[item.name] = value
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Task(Answer):
    """One node's share of a job. `stdout` and `stderr` are there only when asked for, at most 64 KiB each."""

    node: str = ""
    state: str = TaskState.QUEUED.value
    reason: str = ""
    reason_text: str = ""
    detail: str = ""
    exit_code: int | None = None
    signal: int | None = None
    attempt: int = 1
    queued_at: datetime | None = None
    delivered_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    stdout: str | None = None
    stderr: str | None = None
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    truncated: bool = False
    unreachable: bool = False
    cancel_asked: bool = False
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        return self.state in _OPEN

    @property
    def succeeded(self) -> bool:
        return self.state == TaskState.SUCCEEDED

    @property
    def waits_for_node(self) -> bool:
        """Queued because its node is offline."""
        return self.state == TaskState.QUEUED and self.reason == "offline"

    @property
    def seconds(self) -> float | None:
        """How long the command ran."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, (self.finished_at - self.started_at).total_seconds())


@dataclass(frozen=True, kw_only=True)
class Job(Answer):
    """One submission. `tasks` is empty in lists; `counts` is state → number of tasks."""

    job: str = ""
    name: str = ""
    kind: str = "exec"
    target: str = ""
    command: str = ""
    state: str = "open"
    counts: Mapping[str, int] = field(default_factory=dict)
    nodes: int = 0
    created_at: datetime | None = None
    created_by: str = ""
    expires_at: datetime | None = None
    finished_at: datetime | None = None
    timeout: float | None = None
    concurrency: int | None = None
    offline: str = "queue"
    retries: int = 0
    cancel_asked: bool = False
    resource_version: int = 0
    tasks: tuple[Task, ...] = ()

    @property
    def open(self) -> bool:
        return self.state == "open"

    @property
    def succeeded(self) -> bool:
        return self.state == "succeeded"


@dataclass(frozen=True, kw_only=True)
class Node(Answer):
    """One managed machine. Facts are the node's own claim."""

    id: str = ""
    presence: str = "unknown"
    presence_since: datetime | None = None
    presence_reason: str = ""
    worker: str = "unknown"
    labels: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    last_seen: datetime | None = None
    enrolled_at: datetime | None = None
    version: str = ""
    revoked: bool = False
    revoked_reason: str = ""
    resource_version: int = 0


@dataclass(frozen=True, kw_only=True)
class Revision(Answer):
    """One immutable version of an artifact. `missing`: the engine lost its bytes; uploading the same file heals it."""

    source_path: str = ""
    revision: int = 0
    digest: str = ""
    size: int = 0
    mode: str = ""
    archive: str = ""
    created_at: datetime | None = None
    created_by: str = ""
    missing: bool = False


@dataclass(frozen=True, kw_only=True)
class Preview(Answer):
    """Whom a selector or a submission would hit."""

    nodes: tuple[str, ...] = ()
    online: int = 0
    offline: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Why(Answer):
    """Why a job stands where it stands, in lines for people."""

    job: str = ""
    state: str = ""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class JoinToken(Answer):
    """An enrolment token. `token` is the secret itself: present once, in the answer to its creation."""

    id: str = ""
    token: str = field(default="", repr=False)
    uses: int = 0
    used: int = 0
    expires_at: datetime | None = None
    created_at: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    node_id: str | None = None
    revoked: bool = False


@dataclass(frozen=True, kw_only=True)
class ApiToken(Answer):
    """A bearer token of the API. `token` is the secret: present once, in the answer to its creation."""

    id: str = ""
    name: str = ""
    token: str = field(default="", repr=False)
    permissions: tuple[str, ...] = ()
    created_at: datetime | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked: bool = False


@dataclass(frozen=True)
class Line:
    """One line of a command's output, as it arrives. `data` is the exact bytes, `text` the same as text (bad UTF-8 replaced).

    `missing` bytes before it were dropped by the output cap.
    """

    node: str
    stream: str
    data: bytes
    attempt: int = 1
    missing: int = 0

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")

    def __str__(self) -> str:
        return self.text


def index(tasks: Iterable[Task]) -> dict[str, Task]:
    return {task.node: task for task in tasks}
