"""Reading a signed task into an attempt: kind, `must`, spec. What this version does not understand is refused, never guessed."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

from corral.agent.worker.attempt import Attempt
from corral.domain import artifact
from corral.domain.artifact import FILE_KEYS, Archive, FileOp, FileSpec
from corral.domain.errors import CorralError, Invalid
from corral.domain.executors import spec as executor
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.job import CommandSpec, JobSpec, TaskSpec, check_spec, from_mapping
from corral.protocol.codec import from_mapping as message_from
from corral.protocol.messages import VERSION, TaskMessage

KINDS: Final[Mapping[str, frozenset[str]]] = {
    "exec": frozenset(
        {
            *(
                "argv",
                "cwd",
                "env",
                "grace",
                "host",
                "interpreter",
                "max_output",
                "script",
                "shell",
                "stdin",
                "timeout",
            ),
            "user",
        }
    ),
    "file": FILE_KEYS,
}
"""The kinds this agent runs itself, and the keys of their specs that it understands."""
_EXECUTOR_KEYS: Final = frozenset({"connection", "dry_run", "grace", "max_output", "params", "timeout", "user"})
_EXECUTOR_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
"""Any other kind is a child process's, which knows by itself whether it can (agent.executors)."""
_JOB_CHARS: Final = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_")
_ATTEMPT_MAX: Final = 1 << 31


class CannotPlace(CorralError):
    """A task that does not even say which task it is; there is nobody to answer."""


class NotOurs(CorralError):
    """A task this version cannot run: becomes `rejected` / `schema`."""


def read_header(mapping: Mapping[str, Any], wire: bytes) -> Attempt:
    """Which attempt this is and until when it may start. Raises CannotPlace."""
    job, number, not_after = mapping.get("job"), mapping.get("attempt"), mapping.get("not_after")
    if not isinstance(job, str) or not 0 < len(job) <= 64 or not _JOB_CHARS.issuperset(job):
        # the id becomes the name of a folder
        raise CannotPlace(f"cannot place the task: {str(job)[:40]!r} is not a job id")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < _ATTEMPT_MAX:
        raise CannotPlace(f"cannot place task {job}: {str(number)[:40]!r} is not an attempt")
    if not isinstance(not_after, (int, float)):
        raise CannotPlace(f"cannot place task {job}: it has no deadline")
    return Attempt(job=job, number=number, wire=wire, not_after=float(not_after), spec=None)


def read_message(mapping: Mapping[str, Any]) -> TaskMessage:
    """Raises NotOurs or BadMessage when it asks for what we do not know."""
    message = message_from(TaskMessage, mapping)
    if message.v > VERSION:
        raise NotOurs(f"cannot run a task of protocol {message.v}: this agent speaks {VERSION}; update the agent")
    if message.kind not in KINDS and _EXECUTOR_NAME.fullmatch(message.kind) is None:
        raise NotOurs(f"cannot run a task of kind {message.kind[:64]!r}: that is no name of a kind")
    keys = KINDS.get(message.kind, _EXECUTOR_KEYS)
    for name in message.must:
        prefix, dot, key = str(name).partition(".")
        if dot and (prefix != "spec" or key not in keys):
            raise NotOurs(
                f"cannot run the task: it demands {name!r}, which this agent does not know", element=str(name)
            )
    return message


def read_spec(data: Mapping[str, Any], kind: str = "exec") -> TaskSpec:
    """Raises NotOurs when it is not a whole, sound spec of its kind."""
    if kind == "file":
        return _read_file(data)
    return _read_command(data) if kind == "exec" else _read_executor(data, kind)


def _read_executor(data: Mapping[str, Any], kind: str) -> ExecutorSpec:
    try:
        if not isinstance(data.get("params", {}), dict):
            raise Invalid("expected an object in 'params'")
        for key in ("connection", "user"):
            if data.get(key) is not None and not isinstance(data[key], str):
                raise Invalid(f"expected text in {key!r}")
        spec = executor.from_mapping(kind, data)
        check_spec(JobSpec(target="all", command=spec, kind=kind))
    except (CorralError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise NotOurs(f"cannot run the task: {error}"[:300]) from None
    return spec


def _read_file(data: Mapping[str, Any]) -> FileSpec:
    try:
        spec = artifact.from_mapping(data)
        check_spec(JobSpec(target="all", command=spec, kind="file"))
        if spec.op is FileOp.APPLY:
            artifact.check_digest(spec.digest, element="digest")
            if spec.blob is None and spec.size:
                raise Invalid("expected a blob: where the bytes are")
        if spec.archive is not Archive.NONE and spec.op is not FileOp.APPLY:
            raise Invalid("expected an archive with apply only")
        for text in (spec.dest, spec.source, spec.validate, spec.notify):
            text.encode()
    except (CorralError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise NotOurs(f"cannot run the task: {error}"[:300]) from None
    return spec


def _read_command(data: Mapping[str, Any]) -> CommandSpec:
    try:
        for key in ("shell", "script", "cwd", "user", "stdin", "interpreter"):
            if data.get(key) is not None and not isinstance(data[key], str):
                raise Invalid(f"expected text in {key!r}")
        argv, env = data.get("argv", ()), data.get("env", {})
        if not isinstance(argv, (list, tuple)) or not all(isinstance(word, str) for word in argv):
            raise Invalid("expected a list of texts in 'argv'")
        if not isinstance(env, dict) or not all(isinstance(text, str) for text in env.values()):
            raise Invalid("expected texts in 'env'")
        spec = from_mapping(data)
        check_spec(JobSpec(target="all", command=spec))
        for text in (*spec.argv, spec.cwd or "", spec.user or "", *spec.env, *spec.env.values()):
            text.encode()
        if "\0" in (spec.shell or "") + (spec.script or ""):
            raise Invalid("the text holds a NUL character")
    except (CorralError, ValueError, TypeError, KeyError, OverflowError, binascii.Error) as error:
        raise NotOurs(f"cannot run the task: {error}"[:300]) from None
    return spec
