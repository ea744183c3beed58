"""The last guard of a submission: do the rules ask for a second person?"""

from __future__ import annotations

from collections.abc import Sequence

from corral.domain.access import EVERYWHERE
from corral.domain.approval import ApprovalRule, asked_why
from corral.domain.job import JobSpec
from corral.server.application.ports.access import BACK_KIND, GATE_KIND, Caller
from corral.server.application.ports.approvals import ApprovalRuleStore
from corral.server.application.ports.fleet import Standing
from corral.server.application.ports.guards import Hold


class ApprovalGuard:
    def __init__(self, *, rules: ApprovalRuleStore, fleet: Standing) -> None:
        self._rules = rules
        self._fleet = fleet

    async def check(self, caller: Caller, spec: JobSpec, nodes: Sequence[str]) -> Hold | None:
        if caller.kind in (BACK_KIND, GATE_KIND):
            return None
        asking = [rule for rule in await self._rules.list() if self._asks(rule, spec, nodes)]
        return Hold(kind="rule", why=asked_why(asking)) if asking else None

    def _asks(self, rule: ApprovalRule, spec: JobSpec, nodes: Sequence[str]) -> bool:
        if not rule.concerns(spec.command):
            return False
        if rule.selector == EVERYWHERE:
            return len(nodes) >= rule.min_nodes
        within = self._fleet.within((rule.selector,))
        return sum(node in within for node in nodes) >= rule.min_nodes
