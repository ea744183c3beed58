"""Use cases of approvals: look, decide, and the rules that ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from corral.domain.approval import Approval, ApprovalRule, ApprovalState, check_rule
from corral.domain.errors import NotFound
from corral.domain.ids import check_object_id
from corral.domain.selector.standing import check_standing
from corral.runtime.clock import Clock
from corral.server.application.access.scope import Scope
from corral.server.application.jobs.aftermath import Aftermath
from corral.server.application.ports.access import Caller
from corral.server.application.ports.approvals import ApprovalPage, ApprovalQueries, ApprovalRuleStore
from corral.server.application.ports.jobs import Decision, JobQueries, JobStore


class ApprovalBook:
    """Deciding needs approval.decide on every node of the job; looking needs approval.read on one."""

    def __init__(
        self,
        *,
        queries: ApprovalQueries,
        jobs: JobStore,
        job_queries: JobQueries,
        aftermath: Aftermath,
        scope: Scope,
        clock: Clock,
    ) -> None:
        self._queries = queries
        self._jobs = jobs
        self._job_queries = job_queries
        self._aftermath = aftermath
        self._scope = scope
        self._clock = clock

    async def get(self, caller: Caller, approval: str) -> Approval:
        """Raises NotFound."""
        check_object_id(approval, "P", element="approval")
        found = await self._queries.get(approval)
        if not await self._sees(caller, found):
            raise NotFound(f"cannot find approval {approval!r}", element="approval", hint="corral approval list")
        return found

    async def list(
        self, caller: Caller, *, states: Sequence[ApprovalState] = (), limit: int = 50, cursor: str | None = None
    ) -> ApprovalPage:
        """Newest first; those whose nodes the caller does not see are left out of a page."""
        page = await self._queries.list(states=states, limit=limit, cursor=cursor)
        if caller.grants is None:
            return page
        return replace(page, items=[item for item in page.items if await self._sees(caller, item)])

    async def of_job(self, caller: Caller, job: str) -> Approval | None:
        return await self._queries.of_job(job)

    async def decide(self, caller: Caller, approval: str, *, approve: bool, note: str = "") -> Approval:
        """Approved: its tasks go out as --concurrency and presence allow. Denied: they are cancelled.

        Raises NotFound, Denied (the one who asked, or who may not decide on all its nodes), WrongState.
        """
        found = await self.get(caller, approval)
        nodes = await self._job_queries.nodes(found.job)
        self._scope.require(caller, ("approval.decide",), nodes, f"decide approval {approval!r}")
        decision = Decision(approval=approval, approve=approve, by=caller.name, user=caller.user, note=note)
        made, changed = await self._jobs.decide(decision, now=self._clock.now())
        self._aftermath.of(changed)
        return made

    async def _sees(self, caller: Caller, approval: Approval) -> bool:
        if (
            caller.grants is None
            or caller.name == approval.asked_by
            or (caller.user and caller.user == approval.asked_user)
        ):
            return True
        nodes = await self._job_queries.nodes(approval.job)
        return bool(self._scope.visible(caller, nodes, "approval.read", "approval.decide"))


class ApprovalRuleBook:
    def __init__(self, *, store: ApprovalRuleStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def set(self, caller: Caller, rule: ApprovalRule) -> ApprovalRule:
        """Make or replace it; counts from the next submission on. Raises Invalid, BadSelector."""
        check_rule(rule)
        check_standing(rule.selector)
        stamped = replace(rule, changed_at=self._clock.now(), changed_by=caller.name)
        await self._store.put(stamped)
        return stamped

    async def list(self, caller: Caller) -> Sequence[ApprovalRule]:
        return await self._store.list()

    async def delete(self, caller: Caller, name: str) -> None:
        """What already waits goes on waiting."""
        await self._store.delete(name)


@dataclass(frozen=True, kw_only=True)
class ApprovalRoom:
    approvals: ApprovalBook
    rules: ApprovalRuleBook
