"""`file fetch`: wait for the nodes, then save what each one sent as DIR/<node>/<name>, checked against the digest it reported."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from corral.cli import exits
from corral.cli.output.grouping import group, headline
from corral.cli.output.progress import StatusLine
from corral.cli.output.terminal import cell
from corral.cli.output.units import show_size
from corral.cli.session import Session, is_terminal
from corral.cli.watch import advice, header, job_json
from corral.domain.errors import Invalid, Unavailable
from corral.sdk.fleet import Fleet
from corral.sdk.jobs import JobHandle
from corral.sdk.models import Job, Task

COMPLETE_SECONDS: Final = 60.0
"""How long the last output may lag behind the end of its task."""
AGAIN_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Saved:
    node: str
    path: Path
    size: int
    digest: str


async def fetch(session: Session, fleet: Fleet, handle: JobHandle, folder: Path, *, everyone: bool) -> int:
    """The exit status: of the job, FAILED too when something could not be saved, DETACHED by Ctrl-C."""
    status = StatusLine(
        sys.stderr, session.clock, enabled=session.talks and is_terminal(sys.stderr) and is_terminal(sys.stdout)
    )
    try:
        session.note(header(handle.job, list(handle.job.tasks)))
        async with aclosing(handle.follow(everyone=everyone, output=False)) as events:
            async for _ in events:
                status.draw(handle.view.counts)
        job = await handle.refresh()
        saved, bad = await _save_all(session, fleet, job, folder)
    except asyncio.CancelledError:
        status.wipe()
        session.warn(f"detached: {handle.id} goes on\n  state: corral exec get {handle.id}")
        return exits.DETACHED
    finally:
        status.wipe()
    _show(session, job, saved)
    return exits.of_tasks(job.tasks) or (exits.FAILED if bad else exits.OK)


async def _save_all(session: Session, fleet: Fleet, job: Job, folder: Path) -> tuple[list[Saved], bool]:
    saved: list[Saved] = []
    bad = False
    for task in job.tasks:
        if not task.succeeded:
            continue
        try:
            saved.append(await save(session, fleet, job.job, task, folder))
        except (Invalid, Unavailable) as error:
            bad = True
            session.warn(f"{task.node}: {cell(error.message)}")
    return saved, bad


async def save(session: Session, fleet: Fleet, job: str, task: Task, folder: Path) -> Saved:
    """Raises Invalid when it cannot be written, Unavailable when the bytes do not come or are not those of the node."""
    digest, size = _expected(task)
    path = folder / task.node / (os.path.basename(str(task.result.get("dest", ""))) or "file")
    part = path.with_name(f".{path.name}.part")
    deadline = session.clock.monotonic() + COMPLETE_SECONDS
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            while True:
                got, found = await _download(fleet, job, task.node, part)
                if found == digest:
                    break
                if got >= size or session.clock.monotonic() > deadline:
                    why = f"{got} of {size} bytes came" if got < size else "its bytes have another SHA-256"
                    raise Unavailable(f"cannot save {str(path)!r}: {why}", element=task.node)
                await session.clock.sleep(AGAIN_SECONDS)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise Invalid(f"cannot write {str(path)!r}: {error.strerror}", element="to") from None
    return Saved(task.node, path, size, digest)


def _expected(task: Task) -> tuple[str, int]:
    result: Mapping[str, Any] = task.result
    digest, size = result.get("new"), result.get("size")
    if not isinstance(digest, str) or not isinstance(size, int):
        raise Unavailable(f"cannot save what {task.node} sent: it did not say its digest", element=task.node)
    if task.truncated:
        raise Unavailable(
            f"cannot save what {task.node} sent: {size} bytes are more than --max-output", element="max-output"
        )
    return digest, size


async def _download(fleet: Fleet, job: str, node: str, part: Path) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    with part.open("wb") as file:
        async with aclosing(fleet.jobs.raw_output(job, node)) as chunks:
            async for chunk in chunks:
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
    return size, digest.hexdigest()


def _show(session: Session, job: Job, saved: list[Saved]) -> None:
    paths = {item.node: str(item.path) for item in saved}

    def table(wide: bool) -> str:
        lines = [f"{item.path}  {show_size(item.size)}  {item.digest if wide else item.digest[:12]}" for item in saved]
        lines += [headline(item) for item in group([task for task in job.tasks if not task.succeeded])]
        return "\n".join(lines)

    data = job_json(job)
    data["saved"] = paths
    session.show(data, names=list(paths.values()), table=table)
    for line in advice(job):
        session.note(line)
