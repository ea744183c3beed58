"""The truth about jobs and tasks: submit, cancel, retry, reports and sweeps, each one transaction (ports/jobs.py JobStore).

Every flow is the same: lock the jobs, load the rows, let the ledger decide, save with a handful of set statements. What the
caller has to push is in `released`; the rows are already marked as published, so it pushes right after the commit and the
dispatcher's sweep repeats what stays unanswered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Final

from corral.domain.approval import Approval, decided
from corral.domain.errors import Conflict, NotFound, WrongState
from corral.domain.job import Job, JobState, job_state, pinned_hash
from corral.domain.placement import placed
from corral.domain.task import OPEN, Reason, TaskState, summary
from corral.runtime import failpoint
from corral.runtime.backoff import redeliver_delay
from corral.server.application.ports.jobs import Changed, Decision, Delivery, Fence, NewTask, Reported
from corral.server.infrastructure.sql.approvals import no_approval
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.job_ledger import EXPIRE_GRACE_SECONDS, JobRow, Ledger, TaskRow
from corral.server.infrastructure.sql.job_rows import OWED_NAMES, OWED_SELECT, Owed, to_delivery, to_task
from corral.server.infrastructure.sql.job_tx import JobTx, SqlJobTx
from corral.server.infrastructure.sql.statements import Statement
from corral.server.infrastructure.sql.values import clean, seconds

_SWEEP_ROWS: Final = 5000
"""At most so many tasks end in one sweep: the writer is never held for long."""


_NOT_HELD: Final = "t.node = :node and t.finished_at is null and not (t.state = 'queued' and t.due_at is null)"
_OPEN_FOR: Final = Statement(
    f"select {OWED_SELECT} from tasks t where {_NOT_HELD} order by t.cancel_asked desc, t.job limit :limit",
    out=OWED_NAMES,
)
_OPEN_FOR_AFTER: Final = Statement(
    f"""
    select {OWED_SELECT} from tasks t where {_NOT_HELD}
      and (not t.cancel_asked, t.job) >
          (not coalesce((select c.cancel_asked from tasks c where c.job = :after and c.node = :node), false), :after)
    order by t.cancel_asked desc, t.job limit :limit
    """,
    out=OWED_NAMES,
)


class LedgerJobStore:
    """JobStore over any JobTx. `begin` opens one transaction that commits when its block ends."""

    def __init__(self, begin: Callable[[], AbstractAsyncContextManager[JobTx]]) -> None:
        self._begin = begin

    async def add(
        self,
        job: Job,
        tasks: Sequence[NewTask],
        *,
        operation: str | None,
        fence: Fence | None = None,
        approval: Approval | None = None,
    ) -> Job:
        now = seconds(job.created_at)
        expires = seconds(job.expires_at)
        in_order = sorted(tasks, key=lambda task: task.node)
        rows = [_new_row(job.id, task, now, expires, place) for place, task in enumerate(in_order)]
        counts = summary(row.state for row in rows)
        state = job_state(counts, cancel_asked=False)
        made = replace(
            job,
            counts=counts,
            nodes=len(rows),
            state=state,
            finished_at=None if state is JobState.OPEN else job.created_at,
        )
        held = sum(row.held for row in rows)
        async with self._begin() as tx:
            if fence is not None and not await tx.holds(fence):
                raise Conflict(
                    f"cannot start a stage of rollout {fence.rollout!r}: it changed meanwhile, or another server drives it",
                    element="rollout",
                    retryable=True,
                )
            first = await tx.insert(made, rows, held=held, operation=operation, approval=approval)
        return made if first is None else first

    async def decide(self, decision: Decision, *, now: datetime) -> tuple[Approval, Changed]:
        async with self._begin() as tx:
            found = await tx.approval(decision.approval)
            if found is None:
                raise no_approval(decision.approval)
            ledger = Ledger(await _one(tx, found.job), seconds(now))
            row = ledger.jobs[found.job]
            if not row.awaiting:
                raise WrongState(
                    f"cannot decide approval {found.id!r}: job {found.job!r} does not wait for it any more",
                    element="approval",
                    hint=f"corral exec get {found.job}",
                )
            [job] = await tx.whole([found.job])
            tasks = await tx.of_job(found.job, None)
            made = decided(
                found,
                job,
                pinned_hash(task.node for task in tasks),
                by=decision.by,
                user=decision.user,
                approve=decision.approve,
                note=decision.note,
                now=now,
            )
            await tx.save_approval(made)
            if decision.approve:
                ledger.approved(row)
            else:
                ledger.ask_cancel(row)
                for task in tasks:
                    task.detail = clean(f"denied by {made.decided_by}" + (f": {made.note}" if made.note else ""))
                    ledger.cancel(task, offline=False)
            return made, await self._settle(tx, ledger)

    async def apply(self, reports: Sequence[Reported], *, now: datetime) -> Changed:
        if not reports:
            return Changed()
        by_key: dict[tuple[str, str], list[Reported]] = {}
        for report in reports:
            by_key.setdefault((report.outcome.job, report.node), []).append(report)
        async with self._begin() as tx:
            ledger = Ledger(await tx.jobs({job for job, _ in by_key}), seconds(now))
            known = sorted(key for key in by_key if key[0] in ledger.jobs and clean(key[1]) == key[1])
            for row in await tx.tasks(known) if known else []:
                said = by_key.pop((row.job, row.node))
                if len(said) > 1:
                    said.sort(key=lambda report: (report.outcome.attempt, report.outcome.seq))
                for report in said:
                    ledger.report(row, report.outcome)
            ledger.ignored += sum(map(len, by_key.values()))
            changed = await self._settle(tx, ledger)
            if ledger.landed:
                await _place(tx, ledger)
            failpoint.hit("mid_ingest")
            return changed

    async def cancel(
        self, job: str, *, nodes: Sequence[str] | None, offline: Collection[str] = frozenset(), now: datetime
    ) -> Changed:
        gone = frozenset(offline)
        async with self._begin() as tx:
            ledger = Ledger(await _one(tx, job), seconds(now))
            rows = [row for row in await tx.of_job(job, nodes) if row.state in OPEN]
            if rows:
                ledger.ask_cancel(ledger.jobs[job])
            for row in rows:
                ledger.cancel(row, offline=row.node in gone)
            return await self._settle(tx, ledger)

    async def retry(self, job: str, *, nodes: Sequence[str] | None, now: datetime) -> Changed:
        async with self._begin() as tx:
            ledger = Ledger(await _one(tx, job), seconds(now))
            rows = await tx.of_job(job, nodes)
            for row in rows:
                ledger.retry(row)
            if ledger.changed:
                ledger.forgive(ledger.jobs[job])
            return await self._settle(tx, ledger)

    async def due(self, *, now: datetime, limit: int) -> Sequence[Delivery]:
        async with self._begin() as tx:
            rows = sorted(await tx.due(seconds(now), limit), key=lambda row: (not row.cancel_asked, row.job, row.node))
            return await _deliveries(tx, rows)

    async def expire(self, *, now: datetime, lost_before: datetime) -> Changed:
        async with self._begin() as tx:
            moment = seconds(now)
            keys = await tx.overdue_keys(moment - EXPIRE_GRACE_SECONDS, seconds(lost_before), _SWEEP_ROWS)
            if not keys:
                return Changed()
            ledger = Ledger(await tx.jobs({job for job, _ in keys}), moment)
            for row in await tx.tasks(sorted(set(keys))):
                if row.state is TaskState.QUEUED:
                    ledger.expire(row)
                else:
                    ledger.lose(row)
            return await self._settle(tx, ledger)

    async def settle_node(
        self,
        node: str,
        *,
        state: TaskState,
        reason: Reason,
        now: datetime,
        items: Collection[tuple[str, int]] | None = None,
    ) -> Changed:
        async with self._begin() as tx:
            keys = await tx.node_keys(node)
            if not keys:
                return Changed()
            ledger = Ledger(await tx.jobs({job for job, _ in keys}), seconds(now))
            for row in await tx.tasks(sorted(keys)):
                if items is None or (row.state is not TaskState.QUEUED and (row.job, row.attempt) in items):
                    ledger.end(row, state, reason)
            return await self._settle(tx, ledger)

    async def _settle(self, tx: JobTx, ledger: Ledger) -> Changed:
        """Save, let held tasks go where there is room now, save those, and tell what happened."""
        if not ledger.changed and not ledger.dirty and not ledger.bygone:
            return Changed(ignored=ledger.ignored)
        ended = ledger.close()
        waiting = [job for job in ledger.jobs.values() if ledger.room(job)]
        await tx.save(ledger)
        if waiting:
            ledger.saved()
            for job in waiting:
                ledger.release(await tx.held(job.id, ledger.room(job)))
            await tx.save(ledger)
        return Changed(
            tasks=[to_task(row) for row in ledger.changed.values()],
            ended=await tx.whole(ended) if ended else (),
            released=await _deliveries(tx, list(ledger.released.values())),
            ignored=ledger.ignored,
        )


class SqlJobStore(LedgerJobStore):
    """JobStore over SQLite or PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db
        super().__init__(self._open)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[JobTx]:
        async with self._db.write() as tx:
            yield SqlJobTx(tx)

    async def open_for(self, node: str, *, limit: int, after: tuple[str, int] | None = None) -> Sequence[Delivery]:
        """Reads only, so a thousand nodes that come back at once do not queue behind the writer."""
        async with self._db.read() as tx:
            if after is None:
                found = await tx.rows(_OPEN_FOR, node=node, limit=limit)
            else:
                found = await tx.rows(_OPEN_FOR_AFTER, node=node, limit=limit, after=after[0])
            return await _deliveries(SqlJobTx(tx), [Owed(*row) for row in found])


async def _place(tx: JobTx, ledger: Ledger) -> None:
    """Keep what file tasks put where."""
    specs = await tx.specs({said.job for _, said in ledger.landed})
    found = [
        placed(node, specs[said.job][1], said, now=ledger.now) for node, said in ledger.landed if said.job in specs
    ]
    if placements := [one for one in found if one is not None]:
        await tx.place(placements)


async def _one(tx: JobTx, job: str) -> dict[str, JobRow]:
    found = await tx.jobs([job])
    if not found:
        raise NotFound(f"cannot find job {job!r}", element="job", hint="corral exec list")
    return found


async def _deliveries(tx: JobTx, rows: Sequence[TaskRow | Owed]) -> list[Delivery]:
    """With their specs, each job's loaded once: a spec may be 16 MiB, so it is never joined to its tasks."""
    if not rows:
        return []
    specs = await tx.specs({row.job for row in rows})
    return [to_delivery(row, *specs[row.job]) for row in rows]


def _new_row(job: str, task: NewTask, now: float, expires: float, place: int) -> TaskRow:
    terminal = task.state not in OPEN
    out = task.due and not terminal
    reason = task.reason if task.due or terminal or task.reason is not Reason.NONE else Reason.CONCURRENCY
    return TaskRow(
        job=job,
        node=task.node,
        attempt=1,
        state=task.state,
        reason=reason.value,
        detail="",
        seq=0,
        exit_code=None,
        signal=None,
        queued_at=now,
        delivered_at=None,
        started_at=None,
        finished_at=now if terminal else None,
        not_after=expires,
        due_at=now + redeliver_delay(0, place) if out else None,
        published=1 if out else 0,
        cancel_asked=False,
        stdout_bytes=0,
        stderr_bytes=0,
        truncated=False,
        cancel="{}",
        result="{}",
        late="{}",
    )
