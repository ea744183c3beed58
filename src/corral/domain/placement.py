"""Where revisions are now: what each node said of a path after Corral's last change of it. Pure.

It is what Corral put there; what somebody else did to the file since is known only when a node looks again.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from corral.domain.artifact import PATH_BYTES_MAX, FileOp, FileSpec
from corral.domain.task import Outcome, TaskState

_PLACING: Final = frozenset({FileOp.APPLY, FileOp.ROLLBACK, FileOp.COPY, FileOp.DELETE})
_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What is at a path: a revision of an artifact, bytes of unknown origin (no source path), or nothing (no digest)."""

    source_path: str = ""
    revision: int = 0
    digest: str = ""


NOTHING: Final = Held()


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """What a node has at `dest` since `at` (epoch seconds), and what it had before: a rollback goes back to that."""

    node: str
    dest: str
    held: Held
    job: str
    at: float
    before: Held = NOTHING


def placed(node: str, spec: object, said: Outcome, *, now: float) -> Placement | None:
    """What follows from the end of a task; None when it placed nothing, or says what it cannot know."""
    if not isinstance(spec, FileSpec) or spec.op not in _PLACING or spec.dry_run:
        return None
    result = said.result
    if said.state is not TaskState.SUCCEEDED and result.get("changed") is not True:
        return None
    dest, digest = _dest(spec, result), result.get("new")
    if dest is None or not (digest is None or (isinstance(digest, str) and _DIGEST.match(digest))):
        return None
    held = Held(digest=digest or "")
    if spec.op is FileOp.APPLY and digest:
        held = replace(held, source_path=spec.source, revision=spec.revision)
    at = now if said.finished_at is None else max(0.0, min(said.finished_at, now))
    return Placement(node=node, dest=dest, held=held, job=said.job, at=at)


def _dest(spec: FileSpec, result: Mapping[str, Any]) -> str | None:
    dest = result.get("dest")
    if not isinstance(dest, str) or not dest.startswith("/") or "\0" in dest:
        return None
    if len(dest.encode(errors="replace")) > PATH_BYTES_MAX:
        return None
    templated = "{{" in spec.dest
    return dest if templated or posixpath.normpath(dest) == posixpath.normpath(spec.dest) else None


def follows(
    known: Placement | None, new: Placement, revisions: Callable[[str], Collection[tuple[str, int]]]
) -> Placement | None:
    """`new` as it is to be kept after `known`; None when it is older. `revisions` are those with a digest.

    Bytes that came back are the revision that had been there, or the newest one of the same artifact with those bytes.
    """
    if known is None:
        return new
    if new.at < known.at:
        return None
    held = new.held
    if held.digest and not held.source_path:
        if held.digest == known.before.digest:
            held = known.before
        elif held.digest == known.held.digest:
            held = known.held
        else:
            numbers = [number for path, number in revisions(held.digest) if path == known.held.source_path]
            if numbers:
                held = replace(held, source_path=known.held.source_path, revision=max(numbers))
    same = (held.digest, held.source_path) == (known.held.digest, known.held.source_path)
    return replace(new, held=held, before=known.before if same else known.held)
