"""Reading a signed task into an attempt: kind, `must`, spec. What this version does not understand is refused, never guessed."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any, Final

from corral.agent.worker.attempt import Attempt
from corral.domain.errors import CorralError, Invalid
from corral.domain.job import CommandSpec, JobSpec, check_spec, from_mapping
from corral.protocol.codec import from_mapping as message_from
from corral.protocol.messages import VERSION, TaskMessage

KINDS: Final = frozenset({"exec"})
_SPEC_KEYS: Final = frozenset(
    {"argv", "cwd", "env", "grace", "interpreter", "max_output", "script", "shell", "stdin", "timeout", "user"}
)
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
    if message.kind not in KINDS:
        raise NotOurs(f"cannot run a task of kind {message.kind!r}: this agent knows {', '.join(sorted(KINDS))}")
    for name in message.must:
        prefix, dot, key = str(name).partition(".")
        if dot and (prefix != "spec" or key not in _SPEC_KEYS):
            raise NotOurs(
                f"cannot run the task: it demands {name!r}, which this agent does not know", element=str(name)
            )
    return message


def read_spec(data: Mapping[str, Any]) -> CommandSpec:
    """Raises NotOurs when it is not a whole, sound command."""
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
