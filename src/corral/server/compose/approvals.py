"""The approvals room: who decides, and the rules that ask."""

from __future__ import annotations

from corral.server.application.access.scope import Scope
from corral.server.application.approvals.book import ApprovalBook, ApprovalRoom, ApprovalRuleBook
from corral.server.compose.ground import Ground
from corral.server.compose.jobs import Jobs
from corral.server.compose.named import Named
from corral.server.infrastructure.sql.approvals import SqlApprovalQueries


def compose_approvals(ground: Ground, jobs: Jobs, named: Named) -> ApprovalRoom:
    return ApprovalRoom(
        approvals=ApprovalBook(
            queries=SqlApprovalQueries(ground.db, ground.clock),
            jobs=jobs.store,
            job_queries=jobs.room.queries,
            aftermath=jobs.aftermath,
            scope=Scope(ground.registry),
            clock=ground.clock,
        ),
        rules=ApprovalRuleBook(store=named.approval_rules, clock=ground.clock),
    )
