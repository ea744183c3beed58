"""What a task of an executor's kind does: its params, the connection it uses, its limits. The kind's schema says what params are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ExecutorSpec:
    """`connection` is the name of a stored connection; `dry_run` asks the executor to say what it would change and change nothing.

    Times are seconds, sizes bytes.
    """

    kind: str
    params: Mapping[str, Any] = field(default_factory=dict)
    connection: str | None = None
    dry_run: bool = False
    user: str | None = None
    timeout_seconds: float = 300.0
    grace_seconds: float = 5.0
    max_output_bytes: int = 64 << 20


def as_mapping(spec: ExecutorSpec) -> dict[str, Any]:
    """The wire and SQL form: only what was set. The kind is written beside it."""
    out: dict[str, Any] = {
        "timeout": spec.timeout_seconds,
        "grace": spec.grace_seconds,
        "max_output": spec.max_output_bytes,
        "params": dict(spec.params),
    }
    if spec.connection is not None:
        out["connection"] = spec.connection
    if spec.user is not None:
        out["user"] = spec.user
    if spec.dry_run:
        out["dry_run"] = True
    return out


def from_mapping(kind: str, data: Mapping[str, Any]) -> ExecutorSpec:
    """The inverse of as_mapping; unknown keys are ignored (a newer server), missing ones take the default."""
    return ExecutorSpec(
        kind=kind,
        params=dict(data.get("params", {})),
        connection=data.get("connection"),
        dry_run=bool(data.get("dry_run", False)),
        user=data.get("user"),
        timeout_seconds=float(data.get("timeout", 300.0)),
        grace_seconds=float(data.get("grace", 5.0)),
        max_output_bytes=int(data.get("max_output", 64 << 20)),
    )
