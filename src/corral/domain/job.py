"""One submission: what to do, on which nodes (resolved and pinned at submission), under which limits."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeAlias

from corral.domain.artifact import FileSpec, check_file
from corral.domain.errors import Invalid, TooLarge
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.task import OPEN, TaskState

SPEC_BYTES_MAX: Final = 16 << 20
INLINE_BYTES_MAX: Final = 256 << 10
"""Bigger parts of a spec (script, stdin, argv) travel as a sealed object instead of inside the signed message."""
ENV_NAME_CHARS: Final = 256


class JobState(StrEnum):
    OPEN = "open"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class OfflinePolicy(StrEnum):
    QUEUE = "queue"
    SKIP = "skip"


class Interpreter(StrEnum):
    SH = "sh"
    BASH = "bash"
    PYTHON3 = "python3"
    PWSH = "pwsh"


@dataclass(frozen=True, kw_only=True)
class CommandSpec:
    """What to run on each node: exactly one of argv (default-safe), shell (a text for /bin/sh -c) or script.

    `stdin` is the text or bytes given to the command; nothing means /dev/null. Sizes are bytes, times seconds. `host` enters the
    namespaces of process 1 first: what an agent that itself lives in a container does to reach its host.
    """

    argv: tuple[str, ...] = ()
    shell: str | None = None
    script: str | None = None
    interpreter: Interpreter = Interpreter.SH
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    user: str | None = None
    stdin: bytes | None = None
    host: bool = False
    timeout_seconds: float = 300.0
    grace_seconds: float = 5.0
    max_output_bytes: int = 64 << 20


TaskSpec: TypeAlias = CommandSpec | FileSpec | ExecutorSpec
"""What one task does; domain/kinds.py says which class belongs to which kind."""


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """A submission as the caller states it; `kind` names what `command` is.

    `expires_seconds` bounds how long an undelivered task stays queued.
    """

    target: str
    command: TaskSpec
    kind: str = "exec"
    name: str = ""
    concurrency: int | None = None
    offline: OfflinePolicy = OfflinePolicy.QUEUE
    expires_seconds: float = 3600.0
    retries: int = 0


@dataclass(frozen=True, kw_only=True)
class Job:
    """A submission as the truth holds it. `counts` is state → number of tasks."""

    id: str
    name: str
    kind: str
    target: str
    spec: TaskSpec
    state: JobState
    counts: Mapping[TaskState, int]
    nodes: int
    pinned: str
    created_at: datetime
    created_by: str
    expires_at: datetime
    finished_at: datetime | None = None
    concurrency: int | None = None
    offline: OfflinePolicy = OfflinePolicy.QUEUE
    retries: int = 0
    cancel_asked: bool = False
    resource_version: int = 1


def pinned_hash(nodes: Iterable[str]) -> str:
    """The digest that binds a job to exactly this set of nodes."""
    return "sha256:" + hashlib.sha256("\n".join(sorted(nodes)).encode()).hexdigest()


def job_state(counts: Mapping[TaskState, int], *, cancel_asked: bool) -> JobState:
    """A job is open while a task is; then succeeded (all), cancelled (asked for, nothing failed) or failed."""
    left = {state for state, count in counts.items() if count}
    if left & OPEN:
        return JobState.OPEN
    if left <= {TaskState.SUCCEEDED}:
        return JobState.SUCCEEDED
    if cancel_asked and left <= {TaskState.SUCCEEDED, TaskState.CANCELLED}:
        return JobState.CANCELLED
    return JobState.FAILED


def check_spec(spec: JobSpec) -> None:
    """Raise Invalid or TooLarge naming the field, the value, what was expected and the remedy."""
    command = spec.command
    if isinstance(command, FileSpec):
        check_file(command)
        _check_limits(spec)
        return
    if isinstance(command, ExecutorSpec):
        _check_limits(spec)
        _check_size(len(json.dumps(dict(command.params), default=str)))
        return
    forms = [
        name for name, given in (("argv", command.argv), ("shell", command.shell), ("script", command.script)) if given
    ]
    if len(forms) != 1:
        got = " and ".join(forms) or "none"
        raise Invalid(
            f"cannot run this: expected exactly one of argv, shell or script, got {got}",
            element="command",
            hint="example: corral exec run -t all -- uptime",
        )
    _check_limits(spec)
    for name, value in command.env.items():
        if not name or len(name) > ENV_NAME_CHARS or "=" in name or "\0" in name + value:
            raise Invalid(
                f"cannot set environment variable {name[:60]!r}: expected NAME=VALUE without NUL",
                element="env",
                hint="--env NAME=VALUE",
            )
    for element, text in (("argv", "".join(command.argv)), ("cwd", command.cwd or ""), ("user", command.user or "")):
        if "\0" in text:
            raise Invalid(f"cannot use {element}: it holds a NUL character", element=element)
    if command.cwd is not None and not command.cwd.startswith("/"):
        raise Invalid(
            f"cannot use {command.cwd!r} as the working directory: expected an absolute path",
            element="cwd",
            hint="--cwd /srv/app",
        )
    size = len(command.stdin or b"") + sum(
        len(part.encode()) for part in (*command.argv, command.shell or "", command.script or "")
    )
    _check_size(size)


def _check_size(size: int) -> None:
    if size > SPEC_BYTES_MAX:
        raise TooLarge(
            f"cannot accept a spec of {size} bytes: at most {SPEC_BYTES_MAX}",
            element="command",
            hint="ship large data with 'corral file apply'",
        )


def _check_limits(spec: JobSpec) -> None:
    """What every kind has."""
    command = spec.command
    _check_range("timeout", command.timeout_seconds, 0.1, 7 * 86400, "seconds", "--timeout 300")
    _check_range("grace", command.grace_seconds, 0, 3600, "seconds", "--grace 5")
    _check_range("expires", spec.expires_seconds, 1, 30 * 86400, "seconds", "--expires 1h")
    _check_range("max_output", command.max_output_bytes, 1024, 16 << 30, "bytes", "--max-output 64MiB")
    _check_range("retry", spec.retries, 0, 100, "attempts", "--retry 2")
    if spec.concurrency is not None:
        _check_range("concurrency", spec.concurrency, 1, 100_000, "nodes at once", "--concurrency 10")


def _check_range(element: str, value: float, low: float, high: float, unit: str, example: str) -> None:
    if not low <= value <= high:
        raise Invalid(
            f"cannot use {value!r} as {element}: expected {low} to {high} {unit}",
            element=element,
            hint=f"example: {example}",
        )


def as_mapping(command: CommandSpec) -> dict[str, Any]:
    """The wire and SQL form: only what was set; stdin as base64."""
    out: dict[str, Any] = {
        "timeout": command.timeout_seconds,
        "grace": command.grace_seconds,
        "max_output": command.max_output_bytes,
    }
    if command.argv:
        out["argv"] = list(command.argv)
    if command.shell is not None:
        out["shell"] = command.shell
    if command.script is not None:
        out |= {"script": command.script, "interpreter": command.interpreter.value}
    if command.env:
        out["env"] = dict(command.env)
    if command.cwd is not None:
        out["cwd"] = command.cwd
    if command.user is not None:
        out["user"] = command.user
    if command.stdin is not None:
        out["stdin"] = base64.b64encode(command.stdin).decode()
    if command.host:
        out["host"] = True
    return out


def from_mapping(data: Mapping[str, Any]) -> CommandSpec:
    """The inverse of as_mapping; unknown keys are ignored (a newer server), missing ones take the default."""
    stdin = data.get("stdin")
    return CommandSpec(
        argv=tuple(data.get("argv", ())),
        shell=data.get("shell"),
        script=data.get("script"),
        interpreter=Interpreter(data.get("interpreter", "sh")),
        env=dict(data.get("env", {})),
        cwd=data.get("cwd"),
        user=data.get("user"),
        stdin=None if stdin is None else base64.b64decode(stdin),
        host=bool(data.get("host", False)),
        timeout_seconds=float(data.get("timeout", 300.0)),
        grace_seconds=float(data.get("grace", 5.0)),
        max_output_bytes=int(data.get("max_output", 64 << 20)),
    )
