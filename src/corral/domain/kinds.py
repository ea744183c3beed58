"""The kinds of task: for each its spec class, how that is checked, written and read, and the permissions that may submit it.

exec and file are the node's own; every other kind is an executor (domain/executors): a row of BUILT_IN, or a plugin that the
server's composition installs. What was stored stays readable when its plugin is gone; only submitting needs the kind.
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from corral.domain import artifact, job
from corral.domain.artifact import FileSpec
from corral.domain.errors import Invalid
from corral.domain.executors import spec as executor
from corral.domain.executors.contract import ExecutorKind, check_executor
from corral.domain.executors.registry import BUILT_IN
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.job import CommandSpec, JobSpec, TaskSpec
from corral.domain.schema import check_schema
from corral.domain.secret import references

LINE_CHARS: Final = 200


@dataclass(frozen=True, kw_only=True)
class Kind:
    """`line` is for people; `permission` is what a caller needs to submit or repeat it. `executor` is None for exec and file."""

    name: str
    spec: type[TaskSpec]
    permission: str
    as_mapping: Callable[[Any], dict[str, Any]]
    from_mapping: Callable[[Mapping[str, Any]], TaskSpec]
    line: Callable[[Any], str]
    executor: ExecutorKind | None = None


def _command_line(spec: CommandSpec) -> str:
    if spec.argv:
        return shlex.join(spec.argv)
    if spec.shell is not None:
        return spec.shell
    return f"{spec.interpreter.value} script, {len((spec.script or '').splitlines())} lines"


EXEC: Final = Kind(
    name="exec",
    spec=CommandSpec,
    permission="exec.run",
    as_mapping=job.as_mapping,
    from_mapping=job.from_mapping,
    line=_command_line,
)
FILE: Final = Kind(
    name="file",
    spec=FileSpec,
    permission="file.apply",
    as_mapping=artifact.as_mapping,
    from_mapping=artifact.from_mapping,
    line=artifact.file_line,
)


def _of_executor(kind: ExecutorKind) -> Kind:
    return Kind(
        name=kind.name,
        spec=ExecutorSpec,
        permission=kind.permission,
        as_mapping=executor.as_mapping,
        from_mapping=functools.partial(executor.from_mapping, kind.name),
        line=lambda spec: f"{kind.name} {kind.line(spec.params)}" + (" (dry run)" if spec.dry_run else ""),
        executor=kind,
    )


KINDS: Final[dict[str, Kind]] = {kind.name: kind for kind in (EXEC, FILE, *map(_of_executor, BUILT_IN))}


def install(plugins: Iterable[ExecutorKind]) -> None:
    """Make plugins' kinds known to this process, once, before it serves. Raises Invalid for a bad schema or a name that is taken."""
    for kind in plugins:
        check_schema(kind.schema, f"the schema of kind {kind.name!r}")
        taken = KINDS.get(kind.name)
        if taken is not None and (taken.executor is None or taken.executor.module != kind.module):
            raise Invalid(f"cannot install kind {kind.name!r} of {kind.module}: the name is taken", element="kind")
        KINDS[kind.name] = _of_executor(kind)


def kind_named(name: str) -> Kind:
    """Raises Invalid."""
    found = KINDS.get(name)
    if found is None:
        raise Invalid(
            f"cannot run tasks of kind {name[:40]!r}: expected one of {', '.join(sorted(KINDS))}", element="kind"
        )
    return found


def check_job(spec: JobSpec) -> Kind:
    """The kind of a submission; raises Invalid or TooLarge naming the field."""
    kind = kind_named(spec.kind)
    if not isinstance(spec.command, kind.spec):
        raise Invalid(f"cannot submit: kind {spec.kind!r} needs a {kind.spec.__name__}", element="kind")
    job.check_spec(spec)
    if isinstance(spec.command, CommandSpec) and (shown := references(spec.command.argv)):
        raise Invalid(
            f"cannot put secret {min(shown)!r} into an argument: every user of the node could read it in the process list",
            element="argv",
            hint=f"--env SECRET='{{{{ secret.{min(shown)} }}}}', and let the command read $SECRET",
        )
    if kind.executor is not None and isinstance(spec.command, ExecutorSpec):
        if spec.command.kind != kind.name:
            raise Invalid(f"cannot submit: kind {spec.kind!r} cannot run {spec.command.kind!r}", element="kind")
        check_executor(kind.executor, spec.command)
    return kind


def kind_name(spec: TaskSpec) -> str:
    if isinstance(spec, ExecutorSpec):
        return spec.kind
    return EXEC.name if isinstance(spec, CommandSpec) else FILE.name


def needed(spec: TaskSpec) -> tuple[str, ...]:
    """Every permission a caller needs to submit this: the kind's, and those of what it asks for besides."""
    words = [kind_named(kind_name(spec)).permission]
    if isinstance(spec, CommandSpec) and (spec.shell is not None or spec.script is not None):
        words.append("exec.shell")
    if isinstance(spec, CommandSpec) and spec.host:
        words.append("exec.host")
    return tuple(words)


def secret_names(spec: TaskSpec) -> frozenset[str]:
    """The secrets it refers to, wherever: also in stdin, whose written form is base64."""
    names = references(as_mapping(spec))
    return names | references(spec.stdin) if isinstance(spec, CommandSpec) else names


def as_mapping(spec: TaskSpec) -> dict[str, Any]:
    """The wire and SQL form of any spec."""
    if isinstance(spec, CommandSpec):
        return job.as_mapping(spec)
    return executor.as_mapping(spec) if isinstance(spec, ExecutorSpec) else artifact.as_mapping(spec)


def from_mapping(kind: str, data: Mapping[str, Any]) -> TaskSpec:
    """The inverse of as_mapping for a task of `kind`; a kind nobody knows any more is an executor's."""
    found = KINDS.get(kind)
    return executor.from_mapping(kind, data) if found is None else found.from_mapping(data)


def line(spec: TaskSpec) -> str:
    """One line for people: printable, at most LINE_CHARS characters."""
    found = KINDS.get(kind_name(spec))
    text = f"{kind_name(spec)} (a kind that is not installed any more)" if found is None else found.line(spec)
    text = "".join(c if c.isprintable() else " " for c in text[: LINE_CHARS + 1])
    return text if len(text) <= LINE_CHARS else text[: LINE_CHARS - 1] + "…"
