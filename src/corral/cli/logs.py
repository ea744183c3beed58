"""`exec logs`: stored output as lines (with --follow live), or one stream as exact bytes."""

from __future__ import annotations

import asyncio
import codecs
import sys
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING

from corral.cli import exits
from corral.cli.output.grouping import name_list
from corral.cli.output.terminal import Cleaner
from corral.cli.session import Session, is_terminal
from corral.cli.watch import write_lines
from corral.domain.errors import Invalid, NotFound
from corral.sdk.events import LineBook
from corral.sdk.models import Job, Line

if TYPE_CHECKING:
    from corral.sdk.fleet import Fleet


async def show_lines(
    session: Session,
    fleet: Fleet,
    job: str,
    node: str | None,
    stream: str | None,
    *,
    follow: bool,
    since: datetime | None,
) -> int:
    found = await fleet.jobs.get(job)
    _check_node(found, node)
    prefix = node is None and len(found.tasks) > 1
    attempts = any(task.attempt > 1 for task in found.tasks)
    book = LineBook()

    # Output carries no times of its own; whole tasks that ended before `since` are left out.
    old = {task.node for task in found.tasks if since and task.finished_at and task.finished_at < since}

    def write(lines: list[Line]) -> None:
        chosen = [line for line in lines if stream in (None, line.stream) and line.node not in old]
        write_lines(session, chosen, prefix=prefix, attempts=attempts)

    try:
        output = fleet.jobs.output(job, node=node, follow=follow and found.open)
        async with aclosing(output) as pieces:
            async for piece in pieces:
                write(book.feed(piece))
    except asyncio.CancelledError:
        write(book.flush())
        if found.open:
            session.note(f"stopped following; {job} goes on   cancel: corral exec cancel {job}")
        return exits.DETACHED
    write(book.flush())
    return exits.OK


async def show_raw(session: Session, fleet: Fleet, job: str, node: str | None, stream: str) -> int:
    """Exact bytes to a pipe or file; a terminal gets them cleaned, it must not obey a node."""
    found = await fleet.jobs.get(job)
    _check_node(found, node)
    if node is None:
        names = sorted(task.node for task in found.tasks)
        if len(names) != 1:
            raise Invalid(
                f"cannot print the raw output of {len(names)} nodes at once",
                element="node",
                hint=f"choose one: --node {names[0] if names else 'NODE'}   (of {name_list(names)})",
            )
        node = names[0]
    text = codecs.getincrementaldecoder("utf-8")("replace")
    cleaner = Cleaner(colour=session.colour(sys.stdout)) if is_terminal(sys.stdout) else None
    async with aclosing(fleet.jobs.raw_output(job, node, stream)) as chunks:
        async for chunk in chunks:
            if cleaner is None:
                sys.stdout.buffer.write(chunk)
            else:
                sys.stdout.write(cleaner.feed(text.decode(chunk)))
    if cleaner is not None:
        sys.stdout.write(cleaner.feed(text.decode(b"", True)) + cleaner.flush())
    sys.stdout.buffer.flush()
    return exits.OK


def _check_node(job: Job, node: str | None) -> None:
    names = sorted(task.node for task in job.tasks)
    if node is not None and node not in names:
        raise NotFound(
            f"cannot show the output of {node!r}: it is not a node of {job.job}",
            element="node",
            hint=f"its nodes: {name_list(names)}",
        )
