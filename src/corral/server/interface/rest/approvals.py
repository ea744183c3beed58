"""The approvals routes: what waits for a second person, the decision, and the rules that ask for one."""

from __future__ import annotations

from typing import Final

import msgspec

from corral.domain.approval import Approval, ApprovalRule, ApprovalState
from corral.domain.errors import Invalid
from corral.runtime.clock import iso
from corral.server.application.approvals.book import ApprovalRoom
from corral.server.application.ports.access import Caller
from corral.server.interface.rest.envelope import Envelope, ok
from corral.server.interface.rest.route import Route

TAGS: Final = ("approvals",)


class ApprovalView(msgspec.Struct, kw_only=True):
    """`state`: pending, approved, denied, withdrawn (its job was cancelled) or expired. The hashes are what it is bound to."""

    approval: str
    job: str
    asked_for: str
    why: str
    spec_hash: str
    pinned: str
    nodes: int
    asked_by: str
    asked_at: str | None
    expires_at: str | None
    state: str
    decided_by: str
    decided_at: str | None
    note: str


class DecisionBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    approve: bool
    note: str = ""


class RuleBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Asks when a job of one of `kinds` (none: any) touches at least `min_nodes` nodes of `selector`; `reading`: reads too."""

    kinds: list[str] = []
    selector: str = "all"
    min_nodes: int = 1
    reading: bool = False


class RuleView(RuleBody, kw_only=True):
    name: str
    changed_at: str | None
    changed_by: str


async def list_approvals(
    approvals: ApprovalRoom, caller: Caller, states: list[str] | None = None, limit: int = 50, cursor: str | None = None
) -> Envelope[list[ApprovalView]]:
    """Newest first."""
    page = await approvals.approvals.list(caller, states=_states(states), limit=limit, cursor=cursor)
    return ok([view(item) for item in page.items], next=page.next)


async def show(approvals: ApprovalRoom, caller: Caller, approval: str) -> Envelope[ApprovalView]:
    return ok(view(await approvals.approvals.get(caller, approval)))


async def decide(approvals: ApprovalRoom, caller: Caller, approval: str, data: DecisionBody) -> Envelope[ApprovalView]:
    """Approve: its tasks go out. Deny: its job is cancelled. Never by the one who asked."""
    return ok(view(await approvals.approvals.decide(caller, approval, approve=data.approve, note=data.note)))


async def list_rules(approvals: ApprovalRoom, caller: Caller) -> Envelope[list[RuleView]]:
    return ok([_rule(rule) for rule in await approvals.rules.list(caller)])


async def put_rule(approvals: ApprovalRoom, caller: Caller, name: str, data: RuleBody) -> Envelope[RuleView]:
    """Make or replace a rule; it counts from the next submission on."""
    rule = ApprovalRule(
        name=name,
        kinds=tuple(data.kinds),
        selector=data.selector,
        min_nodes=data.min_nodes,
        reading=data.reading,
    )
    return ok(_rule(await approvals.rules.set(caller, rule)))


async def delete_rule(approvals: ApprovalRoom, caller: Caller, name: str) -> Envelope[None]:
    await approvals.rules.delete(caller, name)
    return ok(None)


def view(approval: Approval) -> ApprovalView:
    return ApprovalView(
        approval=approval.id,
        job=approval.job,
        asked_for=approval.asked_for,
        why=approval.why,
        spec_hash=approval.spec_hash,
        pinned=approval.pinned,
        nodes=approval.nodes,
        asked_by=approval.asked_by,
        asked_at=iso(approval.asked_at),
        expires_at=iso(approval.expires_at),
        state=approval.state.value,
        decided_by=approval.decided_by,
        decided_at=iso(approval.decided_at),
        note=approval.note,
    )


def _rule(rule: ApprovalRule) -> RuleView:
    return RuleView(
        name=rule.name,
        kinds=list(rule.kinds),
        selector=rule.selector,
        min_nodes=rule.min_nodes,
        reading=rule.reading,
        changed_at=iso(rule.changed_at),
        changed_by=rule.changed_by,
    )


def _states(words: list[str] | None) -> tuple[ApprovalState, ...]:
    known = {state.value: state for state in ApprovalState}
    chosen = [word for text in words or () for word in text.split(",") if word]
    for word in chosen:
        if word not in known:
            raise Invalid(f"cannot select state {word[:40]!r}: expected one of {', '.join(known)}", element="states")
    return tuple(known[word] for word in chosen)


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="GET",
        path="/approvals",
        permission="approval.read",
        handler=list_approvals,
        summary="What waits, or waited, for a second person",
        tags=TAGS,
    ),
    Route(
        method="GET",
        path="/approvals/{approval:str}",
        permission="approval.read",
        handler=show,
        summary="One approval",
        tags=TAGS,
    ),
    Route(
        method="POST",
        path="/approvals/{approval:str}/decision",
        permission="approval.decide",
        handler=decide,
        summary="Approve or deny",
        tags=TAGS,
    ),
    Route(
        method="GET",
        path="/approval-rules",
        permission="approval.read",
        handler=list_rules,
        summary="The rules that ask for a second person",
        tags=TAGS,
    ),
    Route(
        method="PUT",
        path="/approval-rules/{name:str}",
        permission="policy.write",
        handler=put_rule,
        summary="Make or replace such a rule",
        tags=TAGS,
    ),
    Route(
        method="DELETE",
        path="/approval-rules/{name:str}",
        permission="policy.write",
        handler=delete_rule,
        summary="Delete such a rule",
        tags=TAGS,
    ),
)
