"""Four eyes: what a second person is asked to allow, exactly, and the rules that say when. Pure.

An approval binds the digest of the spec and of the pinned set of nodes. It is pending until somebody else decides, or until its job
is over: then it is withdrawn (somebody cancelled) or expired.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from corral.domain.artifact import FileOp, FileSpec
from corral.domain.errors import Denied, Invalid, WrongState
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.ids import check_object_id
from corral.domain.job import Job, TaskSpec
from corral.domain.kinds import KINDS, as_mapping, kind_name

NOTE_CHARS: Final = 1000
_READS: Final = frozenset({FileOp.FETCH, FileOp.PREVIEW})


class ApprovalState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


@dataclass(frozen=True, kw_only=True)
class Approval:
    """`asked_for` says which guard asks (rule, sql, policy) and `why` in a sentence. `asked_by` may never decide."""

    id: str
    job: str
    asked_for: str
    why: str
    spec_hash: str
    pinned: str
    nodes: int
    asked_by: str
    asked_user: str = ""
    """The user behind the name, whichever of his tokens or sessions he used."""
    asked_at: datetime
    expires_at: datetime
    state: ApprovalState = ApprovalState.PENDING
    decided_by: str = ""
    decided_at: datetime | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class ApprovalRule:
    """Asks for a second person when a job of one of `kinds` (none: any) touches at least `min_nodes` nodes of `selector`.

    `reading`: also for what changes nothing (a fetch, a query); else only for what may.
    """

    name: str
    kinds: tuple[str, ...] = ()
    selector: str = "all"
    min_nodes: int = 1
    reading: bool = False
    changed_at: datetime | None = None
    changed_by: str = ""

    def concerns(self, spec: TaskSpec) -> bool:
        return (not self.kinds or kind_name(spec) in self.kinds) and (self.reading or may_change(spec))


def check_rule(rule: ApprovalRule) -> None:
    """Raise Invalid naming the field, the value, what was expected."""
    if not rule.name or len(rule.name) > 63 or not all(c.isalnum() or c in "._-" for c in rule.name):
        raise Invalid(
            f"cannot name an approval rule {rule.name[:63]!r}: expected letters, digits, '.', '_' and '-', at most 63",
            element="name",
        )
    for kind in rule.kinds:
        if kind not in KINDS:
            raise Invalid(
                f"cannot ask approval for kind {kind[:40]!r}: expected one of {', '.join(sorted(KINDS))}",
                element="kinds",
            )
    if rule.min_nodes < 1:
        raise Invalid(f"cannot use {rule.min_nodes} as min_nodes: expected 1 or more", element="min_nodes")


def may_change(spec: TaskSpec) -> bool:
    """Whether running it can change something, as far as its kind can tell; of a command nobody can."""
    if isinstance(spec, FileSpec):
        return spec.op not in _READS and not (spec.dry_run or spec.diff)
    if isinstance(spec, ExecutorSpec):
        kind = KINDS.get(spec.kind)
        if kind is not None and kind.executor is not None:
            return not spec.dry_run and kind.executor.changes(spec.params)
    return True


def spec_hash(spec: TaskSpec) -> str:
    """The digest of what is to be done, whatever order its parts are written in."""
    text = json.dumps([kind_name(spec), as_mapping(spec)], sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def decided(
    approval: Approval,
    job: Job,
    pinned: str,
    *,
    by: str,
    user: str = "",
    approve: bool,
    note: str,
    now: datetime,
) -> Approval:
    """The approval as decided. Raises Denied for the one who asked, WrongState when there is nothing to decide any more, or when
    job and nodes are not what was asked for. `pinned` is the digest of the nodes the job has now.
    """
    check_object_id(approval.id, "P", element="approval")
    if approval.state is not ApprovalState.PENDING:
        raise WrongState(
            f"cannot decide approval {approval.id!r}: it is {approval.state.value}"
            + (f" by {approval.decided_by}" if approval.decided_by else ""),
            element="approval",
        )
    if by == approval.asked_by or (user and user == approval.asked_user):
        raise Denied(
            f"cannot decide approval {approval.id!r}: {by!r} asked for it, and a second person has to decide",
            element="approval",
            hint="ask a colleague who has approval.decide on its nodes",
        )
    if approve and (spec_hash(job.spec) != approval.spec_hash or pinned != approval.pinned or job.pinned != pinned):
        raise WrongState(
            f"cannot approve {approval.id!r}: job {job.id!r} is not what was asked for any more",
            element="approval",
            hint=f"corral exec cancel {job.id}, and submit it anew",
        )
    return Approval(
        **{
            **approval.__dict__,
            "state": ApprovalState.APPROVED if approve else ApprovalState.DENIED,
            "decided_by": by,
            "decided_at": now,
            "note": note[:NOTE_CHARS],
        }
    )


def asked_why(rules: Sequence[ApprovalRule]) -> str:
    names = ", ".join(repr(rule.name) for rule in rules)
    return f"rule{'s' if len(rules) > 1 else ''} {names} asks for a second person"
