"""`corral why`: why a job or one task of it is where it is, in plain sentences, each with the next step where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from corral.domain.errors import NotFound
from corral.domain.ids import check_node_id, check_object_id
from corral.domain.job import Job, JobState
from corral.domain.node import Node, Presence
from corral.domain.task import OPEN, REASON_TEXT, Reason, Task, TaskState, may_retry
from corral.runtime.clock import Clock, iso
from corral.server.application.access.scope import Nodes
from corral.server.application.jobs.sight import READ, JobSight, unseen_task
from corral.server.application.ports.access import Caller
from corral.server.application.ports.fleet import Fleet
from corral.server.application.ports.jobs import JobQueries, JobStore

NODES_NAMED: Final = 5
TASKS_READ: Final = 10_000
DELIVERIES_READ: Final = 500


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """`lines` are sentences in the order a person should read them."""

    job: str
    state: str
    lines: Sequence[str]
    node: str | None = None
    attempts: Sequence[Task] = ()


class Explaining:
    """Use case: reads only."""

    def __init__(
        self,
        *,
        store: JobStore,
        queries: JobQueries,
        fleet: Fleet,
        clock: Clock,
        sight: JobSight | None = None,
    ) -> None:
        self._sight = sight or JobSight(queries=queries)
        self._store = store
        self._queries = queries
        self._fleet = fleet
        self._clock = clock

    async def why(self, caller: Caller, job: str, node: str | None = None) -> Explanation:
        """Raises NotFound when there is no such job, or it has no task on `node`."""
        check_object_id(job, "J", element="job")
        if node is None:
            found = await self._queries.get(job)
            seen = await self._sight.of(caller, job, READ)
            return Explanation(job=job, state=found.state.value, lines=await self._job(found, seen))
        if check_node_id(node, element="node") not in await self._sight.of(caller, job, READ):
            raise unseen_task(job, node)
        found, task, attempts = await self._queries.with_task(job, node)
        lines = task_lines(task, found, self._node(node), now=self._clock.now(), published=await self._published(task))
        lines += [f"Attempt {a.attempt} ended as {_ending(a)}." for a in attempts]
        return Explanation(job=job, state=task.state.value, lines=lines, node=node, attempts=attempts)

    async def _job(self, job: Job, seen: Nodes) -> list[str]:
        lines = [job_line(job)]
        groups: dict[tuple[TaskState, Reason], list[str]] = {}
        cursor, read = None, 0
        while read < TASKS_READ:
            page = await self._queries.tasks(job.id, cursor=cursor)
            for task in page.items:
                if task.state is not TaskState.SUCCEEDED and task.node in seen:
                    groups.setdefault((task.state, task.reason), []).append(task.node)
            read += len(page.items)
            cursor = page.next
            if cursor is None:
                break
        for (state, reason), nodes in sorted(groups.items(), key=lambda g: (g[0][0] not in OPEN, -len(g[1]))):
            lines.append(_group_line(state, reason, nodes))
        if job.state is JobState.OPEN:
            lines.append(f"Next: corral exec logs {job.id} --follow, or corral exec cancel {job.id}")
        elif job.state is not JobState.SUCCEEDED:
            lines.append(f"Next: corral exec get {job.id} --with-output, then corral exec retry {job.id}")
        return lines

    def _node(self, node: str) -> Node | None:
        try:
            return self._fleet.get(node)
        except NotFound:
            return None

    async def _published(self, task: Task) -> int:
        if task.state is not TaskState.QUEUED:
            return 0
        for delivery in await self._store.open_for(task.node, limit=DELIVERIES_READ):
            if (delivery.job, delivery.attempt) == (task.job, task.attempt):
                return delivery.published
        return 0


def job_line(job: Job) -> str:
    counts = ", ".join(f"{count} {state.value}" for state, count in job.counts.items() if count)
    text = f"Job {job.id} is {job.state.value}: {counts or 'no tasks'} of {job.nodes} nodes"
    if job.state is JobState.OPEN:
        text += f"; what is not delivered by {iso(job.expires_at)} expires"
        if job.cancel_asked:
            text += "; a cancel was asked for"
    return text + "."


def task_lines(task: Task, job: Job, node: Node | None, *, now: datetime, published: int = 0) -> list[str]:
    """The sentences about one task; pure, so that every state can be tested."""
    lines = [f"The task of {task.node} in job {job.id} is {_ending(task)} (attempt {task.attempt})."]
    if task.state in OPEN:
        lines += _presence_lines(task, node, now)
    if task.state is TaskState.QUEUED:
        lines += _queued_lines(task, job, now, published)
    elif task.state is TaskState.DELIVERED:
        lines.append(f"The node has it since {iso(task.delivered_at)}; it {_waits(task)}.")
    elif task.state is TaskState.RUNNING:
        lines.append(f"It runs since {iso(task.started_at)}; its time limit is {job.spec.timeout_seconds:g} s.")
    if task.cancel_asked and task.state in OPEN:
        lines.append(
            "A cancel was asked for and is repeated until the node answers; an offline node hears of it first."
        )
    if task.late:
        lines.append(
            f"A late result came after that: {task.late.get('state', 'unknown')}"
            + (f", exit code {task.late['exit_code']}" if task.late.get("exit_code") is not None else "")
            + ". It is kept and changes no state."
        )
    if task.state in (TaskState.INTERRUPTED, TaskState.LOST):
        lines.append("Whether the command finished is unknown: check the machine before running it again.")
    if may_retry(task.state):
        lines.append(
            f"Next: corral exec logs {job.id} --node {task.node}, or corral exec retry {job.id} --node {task.node}"
        )
    elif task.state in OPEN:
        lines.append(f"Next: wait, or corral exec cancel {job.id}")
    return lines


def _presence_lines(task: Task, node: Node | None, now: datetime) -> list[str]:
    if node is None:
        return [f"The node {task.node} is not known any more."]
    if node.presence is Presence.ONLINE:
        if node.worker_down:
            return [f"The node {node.id} is online but its worker is down; its daemon restarts it."]
        return []
    since = f" since {iso(node.presence_since)} ({_ago(now, node.presence_since)})" if node.presence_since else ""
    why = f": {node.presence_reason}" if node.presence_reason else ""
    if node.presence is Presence.UNKNOWN:
        return [
            f"The node {node.id} has never been seen by this server{why}; check its agent with 'corral agent status'."
        ]
    return [f"The node {node.id} is offline{since}{why}."]


def _queued_lines(task: Task, job: Job, now: datetime, published: int) -> list[str]:
    if task.reason is Reason.CONCURRENCY:
        out = sum(count for state, count in job.counts.items() if state in OPEN)
        return [f"It waits for its turn: --concurrency {job.concurrency} of {out} open tasks may be out at once."]
    lines = []
    if published:
        times = "once" if published == 1 else f"{published} times"
        lines.append(f"It was sent {times} and not acknowledged yet; it is sent again, and whenever the node connects.")
    if task.not_after is not None:
        left = (task.not_after - now).total_seconds()
        lines.append(
            f"It expires at {iso(task.not_after)} (in {_span(left)}) if it is not delivered by then."
            if left > 0
            else f"Its time to be delivered ended at {iso(task.not_after)}; it is about to expire."
        )
    return lines


def _ending(task: Task) -> str:
    text = task.state.value.replace("_", " ")
    if task.exit_code not in (None, 0):
        text += f" with exit code {task.exit_code}"
    if task.signal:
        text += f" by signal {task.signal}"
    why = REASON_TEXT.get(task.reason, "")
    if task.detail:
        why = f"{why}: {task.detail}" if why else task.detail
    return f"{text}: {why}" if why else text


def _group_line(state: TaskState, reason: Reason, nodes: Sequence[str]) -> str:
    named = ", ".join(nodes[:NODES_NAMED]) + (
        f" and {len(nodes) - NODES_NAMED} more" if len(nodes) > NODES_NAMED else ""
    )
    why = REASON_TEXT.get(reason, "")
    return f"{len(nodes)} {state.value.replace('_', ' ')}{f': {why}' if why else ''} ({named})."


def _waits(task: Task) -> str:
    return "waits for a free slot there" if task.reason in (Reason.SLOT, Reason.NONE) else REASON_TEXT[task.reason]


def _ago(now: datetime, then: datetime) -> str:
    return f"{_span((now - then).total_seconds())} ago"


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
