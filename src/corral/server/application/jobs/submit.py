"""Submission: a spec and a selector become a job and one task per node, committed before anybody is told.

Accepted = committed. The set of nodes is resolved once, here, and pinned by its hash. The deliveries go to the dispatcher
straight from memory, online nodes first: what is pushed is exactly what was committed, so nothing is read again.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from corral.domain.approval import Approval, spec_hash
from corral.domain.artifact import FileSpec, as_asked
from corral.domain.artifact_use import shared_out
from corral.domain.errors import Conflict
from corral.domain.ids import new_id
from corral.domain.job import Job, JobSpec, OfflinePolicy, TaskSpec, job_state, pinned_hash
from corral.domain.kinds import check_job
from corral.domain.task import TERMINAL, Reason, Task, TaskState, summary
from corral.runtime import failpoint
from corral.runtime.clock import Clock, now_ms
from corral.server.application.jobs.allowed import check_allowed
from corral.server.application.jobs.counters import Counters
from corral.server.application.jobs.dispatch import Dispatcher
from corral.server.application.ports.access import STAGE_KIND, Caller
from corral.server.application.ports.fleet import Fleet
from corral.server.application.ports.guards import Hold, SubmissionGuard
from corral.server.application.ports.jobs import Delivery, Fence, JobStore, NewTask

STAGE_HELD_SECONDS: Final = 86400.0
"""How long a rollout's stage that has to be approved can wait for that."""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """Who a submission would hit, now."""

    nodes: Sequence[str]
    online: int
    offline: Sequence[str]
    hold: Hold | None = None
    """What it would wait for."""


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """The committed job. `tasks` are those it began with, online nodes first; None when `operation` had made it before."""

    job: Job
    tasks: Sequence[Task] | None
    approval: Approval | None = None
    """What it waits for."""


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """Nodes that were resolved before, their hash then, and what must still be true when the job is committed."""

    nodes: Sequence[str]
    hash: str
    fence: Fence | None = None
    covers: str = ""
    """What an approval of this job lets run besides, in words."""

    def checked(self) -> Sequence[str]:
        """The nodes, sorted; raises Conflict when they are not those that were pinned."""
        if not self.nodes or pinned_hash(self.nodes) != self.hash:
            raise Conflict(
                f"cannot submit: these {len(self.nodes)} nodes are not the set that was pinned",
                element="pinned",
                hint="create it anew: the target is resolved and shown again",
            )
        return sorted(self.nodes)


Complete = Callable[[Caller, JobSpec], Awaitable[JobSpec]]
"""Looks up what a submission only names (the newest revision of an artifact); raises when it is not there."""


async def as_given(caller: Caller, spec: JobSpec) -> JobSpec:
    return spec


class Submission:
    """Use case. `random` gives the random part of a job id."""

    def __init__(
        self,
        *,
        store: JobStore,
        fleet: Fleet,
        dispatcher: Dispatcher,
        clock: Clock,
        counters: Counters,
        random: Callable[[int], bytes] = os.urandom,
        complete: Complete = as_given,
        guards: Sequence[SubmissionGuard] = (),
    ) -> None:
        self._store = store
        self._fleet = fleet
        self._dispatcher = dispatcher
        self._clock = clock
        self._counters = counters
        self._random = random
        self._complete = complete
        self._guards = guards

    async def preview(self, caller: Caller, spec: JobSpec) -> Preview:
        """Raises what `submit` would raise for this spec; changes nothing."""
        check_job(spec)
        nodes = self._fleet.resolve(spec.target)
        hold = await self._guard(caller, spec, nodes)
        online = self._fleet.online(nodes)
        return Preview(nodes=nodes, online=len(online), offline=[n for n in nodes if n not in online], hold=hold)

    async def _guard(self, caller: Caller, spec: JobSpec, nodes: Sequence[str]) -> Hold | None:
        """Every guard is asked, also when an earlier one makes the job wait: a refusal wins over waiting."""
        holds = [await guard.check(caller, spec, nodes) for guard in self._guards]
        return next((hold for hold in holds if hold is not None), None)

    async def submit(
        self, caller: Caller, spec: JobSpec, operation: str | None = None, *, pinned: Pinned | None = None
    ) -> Submitted:
        """Returns once it is committed. The same `operation` again returns the first job and submits nothing.

        `pinned`: exactly these nodes instead of those the selector picks now.
        Raises Invalid, TooLarge, Denied, BadSelector, NothingMatched; Conflict when `operation` named another submission, or when
        what `pinned` asks for does not hold.
        """
        check_job(spec)
        check_allowed(caller, spec.command)
        asked = spec.command
        spec = await self._complete(caller, spec)
        nodes = self._fleet.resolve(spec.target) if pinned is None else pinned.checked()
        spec = shared(spec, len(nodes))
        hold = await self._guard(caller, spec, nodes)
        now = self._clock.now()
        tasks = plan(spec, nodes, self._fleet.online(nodes), hold)
        counts = summary(t.state for t in tasks)
        state = job_state(counts, cancel_asked=False)
        expires = spec.expires_seconds
        if hold is not None and caller.kind == STAGE_KIND:
            # a stage lives for minutes, and people decide in hours
            expires = max(expires, STAGE_HELD_SECONDS)
        expires_at = now + timedelta(seconds=expires)
        job = Job(
            id=new_id("J", now_ms(self._clock), self._random(6)),
            name=spec.name,
            kind=spec.kind,
            target=spec.target,
            spec=spec.command,
            state=state,
            counts=counts,
            nodes=len(tasks),
            pinned=pinned_hash(nodes),
            created_at=now,
            created_by=caller.name,
            expires_at=expires_at,
            finished_at=None if counts.get(TaskState.QUEUED) else now,
            concurrency=spec.concurrency,
            offline=spec.offline,
            retries=spec.retries,
        )
        if hold is not None and pinned is not None and pinned.covers:
            hold = replace(hold, why=f"{hold.why}; it covers {pinned.covers}")
        approval = None if hold is None else self._asking(caller, job, hold)
        fence = None if pinned is None else pinned.fence
        stored = await self._store.add(job, tasks, operation=operation, fence=fence, approval=approval)
        if stored.id != job.id:
            _check_same(stored, job, asked)
            return Submitted(job=stored, tasks=None)
        failpoint.hit("after_commit")
        self._dispatcher.hand(
            [
                Delivery(job=job.id, node=task.node, attempt=1, kind=job.kind, spec=job.spec, not_after=job.expires_at)
                for task in tasks
                if task.due
            ]
        )
        self._counters.add("jobs_submitted_total")
        self._counters.add("tasks_submitted_total", len(tasks))
        return Submitted(job=stored, tasks=[_task(job, task) for task in tasks], approval=approval)

    def _asking(self, caller: Caller, job: Job, hold: Hold) -> Approval:
        """What a second person is asked: exactly this, on exactly these nodes, while the job is valid."""
        return Approval(
            id=new_id("P", now_ms(self._clock), self._random(6)),
            job=job.id,
            asked_for=hold.kind,
            why=hold.why,
            spec_hash=spec_hash(job.spec),
            pinned=job.pinned,
            nodes=job.nodes,
            asked_by=caller.name,
            asked_user=caller.user,
            asked_at=job.created_at,
            expires_at=job.expires_at,
        )


def shared(spec: JobSpec, nodes: int) -> JobSpec:
    """A job's bandwidth becomes the share of each node that works at once."""
    if not isinstance(spec.command, FileSpec):
        return spec
    return replace(spec, command=shared_out(spec.command, min(nodes, spec.concurrency or nodes)))


def plan(spec: JobSpec, nodes: Sequence[str], online: frozenset[str], hold: Hold | None = None) -> list[NewTask]:
    """One task per node, online nodes first, so that neither `--concurrency` nor the push waits for who is not there."""
    tasks = []
    left = len(nodes) if spec.concurrency is None else spec.concurrency
    for node in [*(n for n in nodes if n in online), *(n for n in nodes if n not in online)]:
        here = node in online
        if not here and spec.offline is OfflinePolicy.SKIP:
            tasks.append(NewTask(node=node, state=TaskState.EXPIRED, reason=Reason.OFFLINE_SKIPPED, due=False))
        elif hold is not None:
            tasks.append(NewTask(node=node, reason=Reason.APPROVAL, due=False))
        elif left > 0:
            left -= 1
            tasks.append(NewTask(node=node, reason=Reason.DISPATCHED if here else Reason.OFFLINE))
        else:
            tasks.append(NewTask(node=node, reason=Reason.CONCURRENCY, due=False))
    return tasks


def _task(job: Job, new: NewTask) -> Task:
    return Task(
        job=job.id,
        node=new.node,
        state=new.state,
        reason=new.reason,
        queued_at=job.created_at,
        finished_at=job.created_at if new.state in TERMINAL else None,
        not_after=job.expires_at,
    )


def _check_same(first: Job, again: Job, asked: TaskSpec) -> None:
    spec = again.spec
    if isinstance(asked, FileSpec) and isinstance(first.spec, FileSpec):
        # What it was completed with the first time counts: "the newest" may be another revision by now.
        spec = as_asked(asked, first.spec)
    if (first.spec, first.target, first.kind) != (spec, again.target, again.kind):
        raise Conflict(
            f"cannot submit: this idempotency key already made job {first.id!r} with another content",
            element="Idempotency-Key",
            hint="use a new key for a new request",
        )
