"""Following one job on the command line: header, live output, status line, grouped results, and the way out by Ctrl-C.

What a node's command printed goes to our stdout and stderr, everything we say ourselves to stderr. With few nodes output appears
live, each line behind its node's name (one node: its exact bytes, so `> file` works); with many it is grouped at the end.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from contextlib import aclosing
from typing import Final, TextIO

from corral.cli import exits
from corral.cli.output.grouping import LINES_SHOWN, body, count, group, headline, name_list
from corral.cli.output.progress import StatusLine
from corral.cli.output.terminal import clean
from corral.cli.output.units import show_duration, show_time
from corral.cli.session import Session, is_terminal
from corral.runtime.lifecycle import TaskSet
from corral.sdk.events import LineBook, Output, Snapshot, TasksChanged
from corral.sdk.jobs import JobHandle
from corral.sdk.models import Job, Line, Task

LIVE_NODES_MAX: Final = 50
KEPT_BYTES: Final = 64 << 10
FAILED_LINES: Final = 5
STATUS_AFTER_SECONDS: Final = 0.3
"""Most commands are over by then; a bar that only flashes is noise."""


def waiting_note(approval: str) -> str:
    return f"waits for approval {approval}: somebody else decides with 'corral approval approve {approval}'"


class Watch:
    """One job on one terminal (or pipe)."""

    def __init__(
        self,
        session: Session,
        handle: JobHandle,
        *,
        everyone: bool,
        live: bool | None = None,
        before: Mapping[str, int] | None = None,
        lines_shown: int = LINES_SHOWN,
    ) -> None:
        """`before`: node → its last attempt before a retry; what that printed is old news. `lines_shown`: of each group."""
        self._session = session
        self._handle = handle
        self._everyone = everyone
        self._live = live
        self._before = before or {}
        self._lines_shown = lines_shown
        self._book = LineBook()
        self._kept: dict[tuple[str, int, str], bytearray] = {}
        self._headed = False
        self._status = StatusLine(
            sys.stderr, session.clock, enabled=session.talks and is_terminal(sys.stderr) and is_terminal(sys.stdout)
        )

    async def run(self) -> int:
        """The exit status: of the job, or DETACHED by Ctrl-C (the job goes on)."""
        ticking = TaskSet("status line")
        try:
            self._head()
            ticking.start(self._tick(), name="tick")
            async with aclosing(self._handle.follow(everyone=self._everyone)) as events:
                async for event in events:
                    if isinstance(event, Output):
                        self._output(event)
                    elif isinstance(event, (Snapshot, TasksChanged)):
                        self._head()
                        self._tasks(event.tasks)
        except asyncio.CancelledError:
            self._status.wipe()
            self._detached()
            return exits.DETACHED
        finally:
            await ticking.close()
            self._status.wipe()
        self._lines(self._book.flush())
        await self._result()
        return exits.of_tasks(self._handle.view.tasks.values())

    async def _tick(self) -> None:
        await self._session.clock.sleep(STATUS_AFTER_SECONDS)
        while True:
            self._status.draw(self._handle.view.counts)
            await self._session.clock.sleep(0.25)

    def _head(self) -> None:
        view = self._handle.view
        if self._headed or not view.tasks:
            return
        self._headed = True
        if self._live is None:
            self._live = len(view.tasks) <= LIVE_NODES_MAX
        self._session.note(header(view.job, list(view.tasks.values())))
        if approval := self._handle.job.raw.get("approval"):
            self._session.note(waiting_note(approval))

    def _tasks(self, tasks: tuple[Task, ...]) -> None:
        for task in tasks:
            if self._handle.view.complete(task):
                self._lines(self._book.flush(task.node))

    def _output(self, out: Output) -> None:
        if out.attempt <= self._before.get(out.node, 0):
            return
        kept = self._kept.setdefault((out.node, out.attempt, out.stream), bytearray())
        if len(kept) < KEPT_BYTES:
            kept += out.data[: KEPT_BYTES - len(kept)]
        if not self._live or self._session.machine:
            return
        stream = sys.stdout if out.stream == "stdout" else sys.stderr
        if len(self._handle.view.tasks) == 1 and not is_terminal(stream):
            stream.flush()
            stream.buffer.write(out.data)
            stream.buffer.flush()
            return
        self._lines(self._book.feed(out))

    def _lines(self, lines: list[Line]) -> None:
        if not lines:
            return
        self._status.wipe()
        alone = len(self._handle.view.tasks) == 1
        write_lines(self._session, lines, prefix=not alone)

    async def _result(self) -> None:
        session = self._session
        if session.machine:
            job = await self._handle.refresh(with_output=True)
            show_job(session, job)
            return
        if session.quiet:
            return
        for line in summary(session, self._handle.job, self._texts(), live=bool(self._live), lines=self._lines_shown):
            (session.note if self._live else session.out)(line)
        for line in advice(self._handle.job):
            session.note(line)

    def _texts(self) -> dict[str, tuple[str, str]]:
        def text(task: Task, stream: str) -> str:
            return bytes(self._kept.get((task.node, task.attempt, stream), b"")).decode("utf-8", "replace")

        tasks = self._handle.view.tasks
        return {node: (text(task, "stdout"), text(task, "stderr")) for node, task in tasks.items()}

    def _detached(self) -> None:
        job = self._handle.id
        self._session.warn(
            f"detached: {job} goes on\n"
            f"  follow:  corral exec logs {job} --follow\n"
            f"  state:   corral exec get {job}\n"
            f"  cancel:  corral exec cancel {job}"
        )


def write_lines(session: Session, lines: list[Line], *, prefix: bool, attempts: bool = False) -> None:
    """Lines of task output: cleaned for a terminal, exact bytes for a pipe."""
    for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
        chosen = [line for line in lines if line.stream == name]
        if not chosen:
            continue
        stream.flush()
        if is_terminal(stream):
            stream.write("".join(_shown(session, line, stream, prefix, attempts) for line in chosen))
            stream.flush()
        else:
            stream.buffer.write(b"".join(_exact(line, prefix, attempts) for line in chosen))
            stream.buffer.flush()


def _label(line: Line, attempts: bool) -> str:
    return f"{line.node}#{line.attempt}" if attempts and line.attempt > 1 else line.node


def _shown(session: Session, line: Line, stream: TextIO, prefix: bool, attempts: bool) -> str:
    colour = session.colour(stream)
    text = clean(line.text.removesuffix("\r"), colour=colour)
    gap = f"… {line.missing} bytes not kept …\n" if line.missing else ""
    if not prefix:
        return f"{gap}{text}\n"
    label = session.paint(f"{_label(line, attempts)}:", "36" if line.stream == "stdout" else "33", stream)
    return (f"{label} {gap}" if gap else "") + f"{label} {text}\n"


def _exact(line: Line, prefix: bool, attempts: bool) -> bytes:
    return (f"{_label(line, attempts)}: ".encode() if prefix else b"") + line.data + b"\n"


def header(job: Job, tasks: list[Task]) -> str:
    """`J…: uptime on 3 nodes (1 offline: web-9), time limit 5m`."""
    offline = sorted(task.node for task in tasks if task.waits_for_node or task.reason == "offline_skipped")
    text = f"{job.job}: {clean(job.command or job.name or job.kind, colour=False)} on {count(len(tasks))}"
    if offline:
        text += f" ({len(offline)} offline: {name_list(offline, 5)})"
    if job.timeout is not None:
        text += f", time limit {show_duration(job.timeout)}"
    return text


def summary(
    session: Session, job: Job, texts: dict[str, tuple[str, str]], *, live: bool, lines: int = LINES_SHOWN
) -> list[str]:
    """The grouped results. What was shown live is not repeated, but for the last lines of what failed."""
    stream = sys.stderr if live else sys.stdout
    out: list[str] = []
    for item in group(job.tasks, texts, by_output=not live):
        code = "32" if item.task.succeeded else "33" if item.task.open else "31"
        out.append(session.paint(headline(item), code, stream))
        if not (live and (item.task.succeeded or item.task.open)):
            shown = body(item, colour=session.colour(stream), lines_shown=FAILED_LINES if live else lines)
            out += shown if not live or len(job.tasks) > 1 else []
    return out


def advice(job: Job) -> list[str]:
    """Who is still open, until when, and the next command to type."""
    lines: list[str] = []
    waiting = [task.node for task in job.tasks if task.open]
    if waiting:
        until = f", until {show_time(job.expires_at)}" if job.expires_at else ""
        lines.append(f"still open: {name_list(sorted(waiting))}; a queued task starts when its node connects{until}")
        lines.append(f"follow: corral exec logs {job.job} --follow   cancel: corral exec cancel {job.job}")
    if any(not task.open and not task.succeeded for task in job.tasks):
        lines.append(f"why: corral why {job.job} [NODE]   again: corral exec retry {job.job}")
    return lines


JSON_TASK: Final = (
    "node",
    "state",
    "reason",
    "exit_code",
    "signal",
    "attempt",
    "queued_at",
    "started_at",
    "finished_at",
    "stdout",
    "stderr",
    "stdout_bytes",
    "stderr_bytes",
    "truncated",
)


def job_json(job: Job) -> dict[str, object]:
    """The shape scripts rely on: these keys, always all of them; of a file job also what each node found and did."""
    keys = (*JSON_TASK, "detail", "result") if job.kind == "file" else JSON_TASK
    tasks = [{key: task.raw.get(key, getattr(task, key)) for key in keys} for task in job.tasks]
    return {"job": job.job, "name": job.name, "state": job.state, "counts": dict(job.counts), "tasks": tasks}


def show_job(session: Session, job: Job) -> None:
    """A job in a machine format."""
    session.show(job_json(job), names=[job.job], table=lambda wide: job.job)
