"""From an executor's task to the child process that does it: its words, its document, its environment, and what its end means.

The child runs as `python -P -m corral.agent.executors <kind>`: our own Python, or that of agent.executors_python, where the
drivers are. Nothing of the task is in its arguments or environment: params may hold secrets.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import corral
from corral.agent.worker.attempt import Attempt
from corral.agent.worker.invocation import RESULT_FD, CannotStart
from corral.domain.executors.contract import (
    EXIT_BAD_PARAMS,
    EXIT_NO_DRIVER,
    HTTP_ALLOW_VARIABLE,
    RESULT_BYTES_MAX,
    RESULT_VARIABLE,
    VERSION,
    ExecutorKind,
)
from corral.domain.executors.names import BUILT_IN_NAMES
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.job import CommandSpec
from corral.domain.secret import fill
from corral.domain.task import Reason, TaskState

RESULT_FILE: Final = "result"
DETAIL_BYTES: Final = 2048
_RUNNER: Final = "corral.agent.executors"


def command(spec: ExecutorSpec, private: Mapping[str, Any], *, python: str, http_allow: str = "") -> CommandSpec:
    """The command that does it, as the preparer takes commands. `spec.params` are filled in already."""
    document = {
        "v": VERSION,
        "kind": spec.kind,
        "params": dict(spec.params),
        "connection": private.get("connection"),
        "deadline_seconds": spec.timeout_seconds,
        "dry_run": spec.dry_run,
    }
    return CommandSpec(
        argv=(python or sys.executable or "python3", "-P", "-m", _RUNNER, spec.kind),
        env={
            "PYTHONPATH": str(Path(corral.__file__).parents[1]),
            "PYTHONUTF8": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            RESULT_VARIABLE: f"/dev/fd/{RESULT_FD}",
            **({HTTP_ALLOW_VARIABLE: http_allow} if http_allow else {}),
        },
        user=spec.user,
        stdin=json.dumps(document).encode(),
        timeout_seconds=spec.timeout_seconds,
        grace_seconds=spec.grace_seconds,
        max_output_bytes=spec.max_output_bytes,
    )


def to_run(
    attempt: Attempt, spec: CommandSpec | ExecutorSpec, python: str, http_allow: str = ""
) -> tuple[CommandSpec, str]:
    """What is started for `spec`, with its secrets filled in, and the file its outcome is written to (commands have none).

    Raises CannotStart when a secret it names did not come with it.
    """
    values = attempt.private.get("secrets", {})
    try:
        if isinstance(spec, CommandSpec):
            if not attempt.private:
                return spec, ""
            filled = {name: fill(getattr(spec, name), values) for name in ("shell", "script", "env", "stdin")}
            return replace(spec, **filled), ""
        made = replace(spec, params=fill(dict(spec.params), values))
    except KeyError as error:
        raise CannotStart(f"cannot start the task: secret {error.args[0]!r} did not come with it") from None
    return command(made, attempt.private, python=python, http_allow=http_allow), f"{attempt.directory}/{RESULT_FILE}"


def policy_words(spec: ExecutorSpec) -> Sequence[str]:
    """What a command policy judges: `corral-task <kind> …`, or the command that a built-in kind stands for."""
    if spec.kind not in BUILT_IN_NAMES:
        return ("corral-task", spec.kind)
    kind: ExecutorKind = importlib.import_module(f"corral.domain.executors.{spec.kind}").KIND
    return kind.words(spec.params) or ("corral-task", spec.kind)


def outcome(attempt: Attempt) -> dict[str, Any]:
    """What the child wrote as its machine-readable outcome; {} when it wrote none, too much, or no JSON object."""
    data = _read(f"{attempt.directory}/{RESULT_FILE}", RESULT_BYTES_MAX + 1)
    if not data or len(data) > RESULT_BYTES_MAX:
        return {}
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def meaning(code: int, directory: str) -> tuple[TaskState, Reason, str]:
    """State, reason and detail of a child that exited with `code`; the detail is its own words."""
    if code == 0:
        return TaskState.SUCCEEDED, Reason.NONE, ""
    said = _read(f"{directory}/err", DETAIL_BYTES).decode("utf-8", "replace").strip()
    detail = "; ".join(line.strip() for line in said.splitlines()[:4] if line.strip())
    if code == EXIT_NO_DRIVER:
        return TaskState.REJECTED, Reason.EXECUTOR, detail
    if code == EXIT_BAD_PARAMS:
        return TaskState.REJECTED, Reason.SCHEMA, detail
    return TaskState.FAILED, Reason.NONE, detail


def _read(path: str, most: int) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return b""
    try:
        return os.read(fd, most)
    finally:
        os.close(fd)
