"""How a job uses what it ships: which revision it needs, what is said when that goes or may not go, and its share of the line. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from corral.domain.artifact import BANDWIDTH_MIN, FileOp, FileSpec
from corral.domain.errors import Conflict, Invalid


def ships(spec: object) -> tuple[str, int] | None:
    """(source path, revision) of what such a task brings from the server; None when it brings nothing, or not settled yet."""
    if isinstance(spec, FileSpec) and spec.op is FileOp.APPLY and spec.revision:
        return spec.source, spec.revision
    return None


def cleared_meanwhile(source_path: str, revision: int) -> Conflict:
    """What a submission is told whose revision was cleared between its look-up and its commit."""
    return Conflict(
        f"cannot ship revision {revision} of {source_path!r}: it was cleared meanwhile",
        element="revision",
        hint=f"corral file history --source-path {source_path}",
    )


def still_used(source_path: str, revision: int, users: Iterable[str], more: int = 0) -> Conflict:
    """What is told to whoever clears a revision (and `more`) that somebody still needs."""
    return Conflict(
        f"cannot clear: revision {revision} of {source_path!r}"
        + (f" and {more} more are" if more else " is")
        + f" in use by {', '.join(sorted(users)[:5])}",
        element="revision",
        hint="wait for it, or cancel it, then clear again",
    )


def shared_out(spec: FileSpec, at_once: int) -> FileSpec:
    """`spec` with the even share that each of `at_once` nodes has of the job's bandwidth. Raises Invalid when that is next to nothing."""
    if not spec.job_bandwidth:
        return spec
    share = spec.job_bandwidth // max(1, at_once)
    if share < BANDWIDTH_MIN:
        raise Invalid(
            f"cannot share {spec.job_bandwidth} bytes a second among {at_once} nodes: each needs at least {BANDWIDTH_MIN}",
            element="job_bandwidth",
            hint="let fewer run at once: --concurrency N",
        )
    return replace(spec, bandwidth=min(share, spec.bandwidth) if spec.bandwidth else share)
