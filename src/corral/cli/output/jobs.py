"""Jobs and tasks as people read them: the rows of `exec list`, the page of `exec get`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from corral.cli.output.files import digests
from corral.cli.output.grouping import body, count, group, headline, verdict
from corral.cli.output.table import render
from corral.cli.output.terminal import cell
from corral.cli.output.units import show_ago, show_duration, show_size, show_time
from corral.cli.session import Session
from corral.domain.task import OPEN
from corral.sdk.models import Job, Task

TASK_ROWS_MAX: Final = 25
_OPEN: Final = frozenset(state.value for state in OPEN)


def counts_text(counts: Mapping[str, int]) -> str:
    """`41 succeeded, 2 failed, 1 queued`."""
    return ", ".join(f"{number} {state.replace('_', ' ')}" for state, number in counts.items() if number) or "no tasks"


def job_rows(jobs: Sequence[Job], now: datetime, *, wide: bool) -> list[list[object]]:
    rows: list[list[object]] = []
    for job in jobs:
        left = sum(number for state, number in job.counts.items() if state in _OPEN)
        total = job.nodes or sum(job.counts.values())
        bad = total - left - job.counts.get("succeeded", 0)
        more = [job.created_by, job.target] if wide else []
        label = f"{job.name}: {job.command}" if job.name else job.command
        rows.append([job.job, job.state, total, total - left, bad or "-", show_ago(job.created_at, now), *more, label])
    return rows


def task_row(task: Task, *, wide: bool) -> list[object]:
    why = task.detail or task.reason_text or digests(task)
    row: list[object] = [task.node, verdict(task), show_duration(task.seconds)]
    if wide:
        sizes = f"{show_size(task.stdout_bytes)} / {show_size(task.stderr_bytes)}"
        row += [task.attempt, show_time(task.started_at), show_time(task.finished_at), sizes]
    flags = [word for word, on in (("truncated", task.truncated), ("unreachable", task.unreachable)) if on]
    return [*row, "; ".join([*([why] if why else []), *flags])]


NODE_TASK_HEADERS: Final = ["JOB", "RESULT", "TIME", "AGE", "BY", "COMMAND"]


def node_task_rows(rows: Sequence[Mapping[str, Any]], now: datetime) -> list[list[object]]:
    found: list[list[object]] = []
    for row in rows:
        job, task = Job.from_json(row["job"]), Task.from_json(row["task"])
        label = f"{job.name}: {job.command}" if job.name else job.command
        age = show_ago(job.created_at, now)
        found.append([job.job, verdict(task), show_duration(task.seconds), age, job.created_by, label])
    return found


def job_page(session: Session, job: Job, *, wide: bool, with_output: bool) -> str:
    """Head, then a row per task, or groups when there are many or when their output is asked for."""
    name = f" ({cell(job.name)})" if job.name else ""
    lines = [
        f"{job.job}{name}: {job.state}{', cancel asked' if job.cancel_asked else ''}",
        f"  command  {cell(job.command)}",
        f"  target   {cell(job.target)} ({count(job.nodes or len(job.tasks))})",
        f"  tasks    {counts_text(job.counts)}",
        f"  created  {show_time(job.created_at)} by {cell(job.created_by)}",
    ]
    if job.open:
        lines.append(f"  expires  {show_time(job.expires_at)} (what is still queued then is given up)")
    else:
        lines.append(f"  ended    {show_time(job.finished_at)}")
    lines.append("")
    if with_output or (len(job.tasks) > TASK_ROWS_MAX and not wide):
        for item in group(job.tasks):
            lines.append(headline(item))
            lines += body(item, colour=False)
    elif job.tasks:
        headers = ["NODE", "RESULT", "TIME", *(["TRY", "STARTED", "ENDED", "OUT / ERR"] if wide else []), "WHY"]
        lines.append(render(headers, [task_row(task, wide=wide) for task in job.tasks], columns=session.columns()))
    return "\n".join(lines)
