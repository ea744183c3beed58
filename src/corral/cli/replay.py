"""`audit replay`: what a job printed, in the time it took, with the beginning and end of each task.

Times of output are those at which the server stored it (the engine's stream gives them), some tens of milliseconds after it was
written. Where the log gives none, a task's output is spread evenly over its run, and the header says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from corral.cli import exits
from corral.cli.output.units import show_duration, show_time
from corral.cli.session import Session
from corral.cli.watch import write_lines
from corral.domain.errors import NotFound, TooLarge
from corral.sdk.events import LineBook, Output
from corral.sdk.models import Job, Task

if TYPE_CHECKING:
    from corral.sdk.fleet import Fleet

KEPT_BYTES: Final = 256 << 20
STEP_SECONDS: Final = 0.01


@dataclass(frozen=True)
class Moment:
    """Something that is shown `at` (seconds since the epoch): output, or words of ours."""

    at: float
    node: str
    output: Output | None = None
    said: str = ""


async def replay(
    session: Session, fleet: Fleet, job: str, node: str | None, *, speed: float, begin: float, end: float | None
) -> int:
    """`begin` and `end` are seconds from the start of the first task. DETACHED when interrupted: nothing is left behind."""
    found = await fleet.jobs.get(job)
    tasks = [task for task in found.tasks if node is None or task.node == node]
    if not tasks:
        raise NotFound(
            f"cannot find a task of node {node!r} in job {job!r}", element="node", hint=f"corral exec get {job}"
        )
    moments, exact = await _timeline(fleet, found, tasks, node)
    if not moments:
        session.note(f"{job}: nothing to replay; it has not started anywhere")
        return exits.OK
    zero = moments[0].at
    length = moments[-1].at - zero
    session.note(_header(found, tasks, moments, length, speed, exact))
    prefix = len(tasks) > 1
    book = LineBook()
    try:
        await _play(session, moments, book, zero, speed=speed, begin=begin, end=end, prefix=prefix)
    except asyncio.CancelledError:
        write_lines(session, list(book.flush()), prefix=prefix)
        session.warn("stopped")
        return exits.DETACHED
    write_lines(session, list(book.flush()), prefix=prefix)
    return exits.OK


async def _play(
    session: Session,
    moments: Sequence[Moment],
    book: LineBook,
    zero: float,
    *,
    speed: float,
    begin: float,
    end: float | None,
    prefix: bool,
) -> None:
    clock = session.clock
    started = clock.monotonic()
    for moment in moments:
        offset = moment.at - zero
        if end is not None and offset > end:
            return
        left = started + max(0.0, offset - begin) / speed - clock.monotonic()
        if left > STEP_SECONDS:
            await clock.sleep(left)
        if moment.output is not None:
            lines = list(book.feed(moment.output))
            if offset >= begin:
                write_lines(session, lines, prefix=prefix)
        elif offset >= begin:
            write_lines(session, list(book.flush(moment.node)), prefix=prefix)
            session.note(f"[{offset:9.3f} s] {moment.said}")


async def _timeline(fleet: Fleet, job: Job, tasks: Sequence[Task], node: str | None) -> tuple[list[Moment], bool]:
    """Everything in order, and whether the times of output are the stored ones."""
    shown = {task.node: task for task in tasks}
    chunks: list[Output] = []
    size = 0
    async with aclosing(fleet.jobs.output(job.job, node=node, follow=False)) as pieces:
        async for piece in pieces:
            if piece.node not in shown:
                continue
            chunks.append(piece)
            size += len(piece.data)
            if size > KEPT_BYTES:
                raise TooLarge(
                    f"cannot replay more than {KEPT_BYTES >> 20} MiB of output at once",
                    element="node",
                    hint="--node NODE",
                )
    exact = all(chunk.at for chunk in chunks)
    moments = [Moment(at, chunk.node, chunk) for chunk, at in zip(chunks, _times(chunks, shown, exact), strict=True)]
    for task in tasks:
        if task.started_at is not None:
            moments.append(Moment(task.started_at.timestamp(), task.node, said=f"{task.node}: started"))
        if task.finished_at is not None and task.started_at is not None:
            last = max((m.at for m in moments if m.node == task.node), default=0.0)
            code = "" if task.exit_code is None else f", exit code {task.exit_code}"
            at = max(last, task.finished_at.timestamp())
            moments.append(Moment(at, task.node, said=f"{task.node}: {task.state}{code}"))
    return sorted(moments, key=lambda moment: moment.at), exact


def _times(chunks: Sequence[Output], tasks: dict[str, Task], exact: bool) -> list[float]:
    """The stored times, in an order that never goes back within a node; else each task's output spread over its run."""
    if exact:
        return [chunk.at for chunk in chunks]
    total: dict[str, int] = {}
    for chunk in chunks:
        total[chunk.node] = total.get(chunk.node, 0) + len(chunk.data)
    done: dict[str, int] = {}
    out = []
    for chunk in chunks:
        task = tasks[chunk.node]
        first = task.started_at.timestamp() if task.started_at else 0.0
        last = task.finished_at.timestamp() if task.finished_at else first
        done[chunk.node] = done.get(chunk.node, 0) + len(chunk.data)
        out.append(first + (last - first) * done[chunk.node] / max(1, total[chunk.node]))
    return out


def _header(
    job: Job, tasks: Sequence[Task], moments: Sequence[Moment], length: float, speed: float, exact: bool
) -> str:
    from datetime import UTC, datetime

    began = show_time(datetime.fromtimestamp(moments[0].at, UTC))
    how = (
        "output timed as the server stored it" if exact else "no times of output are kept: spread over each task's run"
    )
    pace = "" if speed == 1 else f", {speed:g} times as fast"
    return (
        f"{job.job}: {job.command or job.name} by {job.raw.get('created_by', '?')} on {len(tasks)} nodes, "
        f"{began}, {show_duration(length)}{pace}; {how}"
    )
