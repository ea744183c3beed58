"""The kinds of task: for each its spec class, how that is checked, written and read, and the permission that may submit it.

A new kind is a row here, on the server; and on the node what runs it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from corral.domain import artifact, job
from corral.domain.artifact import FileSpec
from corral.domain.errors import Invalid
from corral.domain.job import CommandSpec, JobSpec, TaskSpec

LINE_CHARS: Final = 200


@dataclass(frozen=True, kw_only=True)
class Kind:
    """`line` is for people; `permission` is what a caller needs to submit or repeat it."""

    name: str
    spec: type[TaskSpec]
    permission: str
    as_mapping: Callable[[Any], dict[str, Any]]
    from_mapping: Callable[[Mapping[str, Any]], TaskSpec]
    line: Callable[[Any], str]


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
KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kind in (EXEC, FILE)}


def kind_named(name: str) -> Kind:
    """Raises Invalid."""
    found = KINDS.get(name)
    if found is None:
        raise Invalid(
            f"cannot run tasks of kind {name[:40]!r}: expected one of {', '.join(sorted(KINDS))}", element="kind"
        )
    return found


def kind_of(spec: TaskSpec) -> Kind:
    return EXEC if isinstance(spec, CommandSpec) else FILE


def check_job(spec: JobSpec) -> Kind:
    """The kind of a submission; raises Invalid or TooLarge naming the field."""
    kind = kind_named(spec.kind)
    if not isinstance(spec.command, kind.spec):
        raise Invalid(f"cannot submit: kind {spec.kind!r} needs a {kind.spec.__name__}", element="kind")
    job.check_spec(spec)
    return kind


def as_mapping(spec: TaskSpec) -> dict[str, Any]:
    """The wire and SQL form of either spec."""
    return kind_of(spec).as_mapping(spec)


def from_mapping(kind: str, data: Mapping[str, Any]) -> TaskSpec:
    """The inverse of as_mapping for a task of `kind`."""
    return kind_named(kind).from_mapping(data)


def line(spec: TaskSpec) -> str:
    """One line for people: printable, at most LINE_CHARS characters."""
    text = kind_of(spec).line(spec)
    text = "".join(c if c.isprintable() else " " for c in text[: LINE_CHARS + 1])
    return text if len(text) <= LINE_CHARS else text[: LINE_CHARS - 1] + "…"
