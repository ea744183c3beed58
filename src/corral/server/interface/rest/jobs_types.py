"""What the jobs routes take and give, as JSON. Times are RFC 3339 in UTC; sizes are bytes; durations are seconds."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from corral.domain import kinds
from corral.domain.artifact import Archive, FileOp, FileSpec
from corral.domain.errors import Invalid
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.job import CommandSpec, Interpreter, Job, JobSpec, OfflinePolicy
from corral.domain.task import REASON_TEXT, Task
from corral.runtime import clock
from corral.server.application.jobs.explain import Explanation
from corral.server.application.jobs.search import Found

iso = functools.lru_cache(maxsize=4096)(clock.iso)
"""The tasks of a job share most of their moments: a thousand of them are written out once."""


class FileBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a file task does. apply takes `source` (an artifact's path) and `revision` (absent = the newest); copy a path on the node."""

    op: FileOp
    dest: str
    source: str | None = None
    revision: int | None = None
    owner: str | None = None
    mode: str | None = None
    backup: bool | None = None
    dry_run: bool | None = None
    diff: bool | None = None
    template: bool | None = None
    validate: str | None = None
    notify: str | None = None
    archive: Archive | None = None
    bandwidth: int | None = None
    job_bandwidth: int | None = None
    recursive: bool | None = None


class SubmitBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What to run and where: exactly one of argv, shell, script; `file` with kind `file`; or `params` of an executor's kind.

    `stdin` is base64. `connection` names what the executor connects to; `dry_run` has it say what it would change. `host` leaves
    the agent's container (needs exec.host).
    """

    target: str
    kind: str | None = None
    file: FileBody | None = None
    argv: list[str] | None = None
    shell: str | None = None
    script: str | None = None
    interpreter: Interpreter | None = None
    name: str | None = None
    timeout: float | None = None
    grace: float | None = None
    concurrency: int | None = None
    offline: OfflinePolicy | None = None
    expires: float | None = None
    retries: int | None = None
    env: dict[str, str] | None = None
    cwd: str | None = None
    user: str | None = None
    stdin: bytes | None = None
    max_output: int | None = None
    params: dict[str, Any] | None = None
    connection: str | None = None
    dry_run: bool | None = None
    host: bool | None = None

    def spec(self) -> JobSpec:
        """The domain's form; absent and null both mean the default. Checked by the use case."""
        limits = _given(
            name=self.name,
            concurrency=self.concurrency,
            offline=self.offline,
            expires_seconds=self.expires,
            retries=self.retries,
        )
        if self.file is not None or self.kind == kinds.FILE.name:
            return JobSpec(target=self.target, kind=kinds.FILE.name, command=self._file(), **limits)
        if self.kind not in (None, kinds.EXEC.name):
            return JobSpec(target=self.target, kind=self.kind, command=self._executor(self.kind), **limits)
        self._nothing_of(_ONLY_EXECUTOR, "a command")
        return JobSpec(target=self.target, kind=self.kind or kinds.EXEC.name, command=self._command(), **limits)

    def _file(self) -> FileSpec:
        extra = [name for name in (*_ONLY_EXEC, *_ONLY_EXECUTOR) if getattr(self, name) is not None]
        if self.file is None or self.kind not in (None, kinds.FILE.name) or extra:
            what = extra[0] if extra else "file" if self.file is None else "kind"
            raise Invalid(
                "cannot submit a file job: expected kind 'file', the part 'file' and nothing of a command",
                element=what,
                hint='example: {"kind": "file", "file": {"op": "apply", "source": "app.conf", "dest": "/etc/app.conf"}, "target": "all"}',
            )
        given = _given(**{name: getattr(self.file, name) for name in self.file.__struct_fields__})
        limits = _given(timeout_seconds=self.timeout, grace_seconds=self.grace, max_output_bytes=self.max_output)
        return FileSpec(**given, **limits)

    def _executor(self, kind: str) -> ExecutorSpec:
        kinds.kind_named(kind)
        self._nothing_of((name for name in _ONLY_EXEC if name != "user"), f"a job of kind {kind!r}")
        given = _given(
            params=self.params,
            connection=self.connection,
            dry_run=self.dry_run,
            user=self.user,
            timeout_seconds=self.timeout,
            grace_seconds=self.grace,
            max_output_bytes=self.max_output,
        )
        return ExecutorSpec(kind=kind, **given)

    def _nothing_of(self, names: Iterable[str], what: str) -> None:
        for name in names:
            if getattr(self, name) is not None:
                raise Invalid(
                    f"cannot submit {what}: {name!r} does not belong to it",
                    element=name,
                    hint="'corral task schema KIND' shows the params of a kind; a command takes argv, shell or script",
                )

    def _command(self) -> CommandSpec:
        command = _given(
            argv=None if self.argv is None else tuple(self.argv),
            shell=self.shell,
            script=self.script,
            interpreter=self.interpreter,
            env=self.env,
            cwd=self.cwd,
            user=self.user,
            stdin=self.stdin,
            timeout_seconds=self.timeout,
            grace_seconds=self.grace,
            max_output_bytes=self.max_output,
            host=self.host,
        )
        return CommandSpec(**command)


_ONLY_EXEC: Final = ("argv", "shell", "script", "interpreter", "env", "cwd", "user", "stdin", "host")
_ONLY_EXECUTOR: Final = ("params", "connection", "dry_run")


class NodesBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which of a job's nodes; absent or null = all that qualify."""

    nodes: list[str] | None = None


class PreviewView(msgspec.Struct, kw_only=True):
    """`waits_for`: why somebody else would have to approve it; empty when nobody has to."""

    nodes: list[str]
    online: int
    offline: list[str]
    waits_for: str = ""


class TaskView(msgspec.Struct, kw_only=True):
    """One node's share of a job. stdout and stderr only where asked for, at most 64 KiB each.

    `result` is what the kind adds: of a file task changed, old, new (digests), size, backup.
    """

    node: str
    state: str
    reason: str
    reason_text: str
    detail: str
    exit_code: int | None
    signal: int | None
    attempt: int
    queued_at: str | None
    delivered_at: str | None
    started_at: str | None
    finished_at: str | None
    stdout: str | None
    stderr: str | None
    stdout_bytes: int
    stderr_bytes: int
    truncated: bool
    unreachable: bool
    cancel_asked: bool
    cancel: dict[str, Any]
    result: dict[str, Any]
    late: dict[str, Any]


class JobView(msgspec.Struct, kw_only=True):
    """A job. `tasks` is absent in lists and in `job` events."""

    job: str
    name: str
    kind: str
    target: str
    command: str
    state: str
    counts: dict[str, int]
    nodes: int
    pinned: str
    created_at: str | None
    created_by: str
    expires_at: str | None
    finished_at: str | None
    timeout: float
    concurrency: int | None
    offline: str
    retries: int
    cancel_asked: bool
    resource_version: int
    tasks: list[TaskView] | UnsetType = UNSET
    approval: str | UnsetType = UNSET
    """In the answer to a submission: the approval it waits for."""


class NodeTaskView(msgspec.Struct, kw_only=True):
    """One task of a node, with its job."""

    job: JobView
    task: TaskView


class WhyView(msgspec.Struct, kw_only=True):
    """`state` is the task's when a node was asked for, else the job's; `tasks` are that node's earlier attempts."""

    job: str
    state: str
    lines: list[str]
    node: str | None = None
    tasks: list[TaskView] = []  # msgspec copies struct defaults


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def task_view(task: Task, output: tuple[str, str] | None = None) -> TaskView:
    return TaskView(
        node=task.node,
        state=task.state.value,
        reason=task.reason.value,
        reason_text=REASON_TEXT[task.reason],
        detail=task.detail,
        exit_code=task.exit_code,
        signal=task.signal,
        attempt=task.attempt,
        queued_at=iso(task.queued_at),
        delivered_at=iso(task.delivered_at),
        started_at=iso(task.started_at),
        finished_at=iso(task.finished_at),
        stdout=None if output is None else output[0],
        stderr=None if output is None else output[1],
        stdout_bytes=task.stdout_bytes,
        stderr_bytes=task.stderr_bytes,
        truncated=task.truncated,
        unreachable=task.unreachable,
        cancel_asked=task.cancel_asked,
        cancel=dict(task.cancel),
        result=dict(task.result),
        late=dict(task.late),
    )


def job_view(
    job: Job, tasks: Iterable[Task] | None = None, output: Mapping[str, tuple[str, str]] | None = None
) -> JobView:
    return JobView(
        job=job.id,
        name=job.name,
        kind=job.kind,
        target=job.target,
        command=kinds.line(job.spec),
        state=job.state.value,
        counts={state.value: count for state, count in job.counts.items() if count},
        nodes=job.nodes,
        pinned=job.pinned,
        created_at=iso(job.created_at),
        created_by=job.created_by,
        expires_at=iso(job.expires_at),
        finished_at=iso(job.finished_at),
        timeout=job.spec.timeout_seconds,
        concurrency=job.concurrency,
        offline=job.offline.value,
        retries=job.retries,
        cancel_asked=job.cancel_asked,
        resource_version=job.resource_version,
        tasks=UNSET if tasks is None else [task_view(t, output.get(t.node) if output else None) for t in tasks],
    )


def node_task_view(job: Job, task: Task) -> NodeTaskView:
    return NodeTaskView(job=job_view(job), task=task_view(task))


class HitView(msgspec.Struct, kw_only=True):
    node: str
    stream: str
    line: str


class FoundView(msgspec.Struct, kw_only=True):
    """A job whose output holds the text. `more`: it holds it more often, or was too long to be read to its end."""

    job: JobView
    hits: list[HitView]
    more: bool


def found_view(found: Found) -> FoundView:
    hits = [HitView(node=hit.node, stream=hit.stream, line=hit.line) for hit in found.hits]
    return FoundView(job=job_view(found.job), hits=hits, more=found.more)


def why_view(explanation: Explanation) -> WhyView:
    return WhyView(
        job=explanation.job,
        state=explanation.state,
        lines=list(explanation.lines),
        node=explanation.node,
        tasks=[task_view(task) for task in explanation.attempts],
    )
