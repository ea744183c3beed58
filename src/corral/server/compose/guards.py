"""The guards of every submission, in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Sequence

from corral.server.application.access.scope import Scope, ScopeGuard
from corral.server.application.approvals.guard import ApprovalGuard
from corral.server.application.audit.spec_note import SpecNote
from corral.server.application.ports.guards import SubmissionGuard
from corral.server.application.review.room import ReviewGuard, SqlReview
from corral.server.compose.ground import Ground
from corral.server.compose.named import Named
from corral.server.compose.rules import Rules
from corral.server.infrastructure.sql.audit import SqlAuditLog


def may_hold(guards: Sequence[SubmissionGuard]) -> Sequence[SubmissionGuard]:
    """Those that may make a submission wait for somebody."""
    return tuple(guard for guard in guards if not isinstance(guard, (SpecNote, ScopeGuard)))


def compose_guards(ground: Ground, named: Named, review: SqlReview, rules: Rules) -> Sequence[SubmissionGuard]:
    """Scope (may this caller touch these nodes), policy, review of SQL, approval last: it is for what may be done at all."""
    return (
        SpecNote(record=SqlAuditLog(ground.db).add, clock=ground.clock),
        ScopeGuard(Scope(ground.registry)),
        rules.guard,
        named.guard,
        ReviewGuard(review),
        ApprovalGuard(rules=named.approval_rules, fleet=ground.registry),
    )
