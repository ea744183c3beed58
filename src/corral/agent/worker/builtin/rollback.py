"""`file rollback` without a revision: this node goes back to what IT had at `dest` before its last change.

The newest entry of the path's stack is put back and then leaves the stack; a file that was not there before is removed again. What
the rollback replaced is kept beside the stack. The choice is remembered before anything is done, so a second run of the same
attempt goes to the same entry and never one further back.
"""

from __future__ import annotations

import contextlib
import os

from corral.agent.worker.builtin.backups import UNDONE, Entry
from corral.agent.worker.builtin.commands import notify
from corral.agent.worker.builtin.errors import TaskFailed
from corral.agent.worker.builtin.filling import copy_file, digest_of, read_all
from corral.agent.worker.builtin.ownership import Wanted, wanted_by
from corral.agent.worker.builtin.paths import dest_of, opened
from corral.agent.worker.builtin.replace import Content, replace_file, sweep
from corral.agent.worker.builtin.undone import finish
from corral.agent.worker.builtin.work import Work
from corral.domain.artifact import FileSpec
from corral.runtime.safepath import Target
from corral.runtime.threads import in_thread


async def rollback(spec: FileSpec, work: Work) -> None:
    dest = dest_of(work)
    backups = work.ground.backups
    entry = _chosen(work, dest)
    if entry is None:
        if "rollback" in work.progress:
            # an earlier run of this attempt did all of it but say so
            work.result.update(work.progress["rollback"]["result"])
            await notify(work)
            return
        raise TaskFailed(
            f"cannot roll back {dest!r}: this node remembers nothing that was there before",
            hint="name a revision: corral file rollback --source-path … --revision N",
        )
    if not entry.kept:
        raise TaskFailed(
            f"cannot roll back {dest!r}: what was there before was replaced with --no-backup",
            hint="name a revision: corral file rollback --source-path … --revision N",
        )
    if entry.tree or backups.tree(dest) is not None:
        from corral.agent.worker.builtin.archive import rollback_tree

        await rollback_tree(work, dest, entry)
        return
    with opened(work, dest) as target:
        if entry.absent:
            work.permit("rollback", removes=(dest,))
            await _remove(work, target, entry)
        else:
            work.permit("rollback", writes=(dest,))
            await _put_back(work, target, entry)


def _chosen(work: Work, dest: str) -> Entry | None:
    backups = work.ground.backups
    if "rollback" in work.progress:
        return backups.by_id(dest, work.progress["rollback"]["entry"])
    entry = backups.newest(dest)
    if entry is not None and not work.spec.dry_run:
        work.save(rollback={"entry": entry.id, "result": {}})
    return entry


async def _put_back(work: Work, target: Target, entry: Entry) -> None:
    path = work.ground.backups.path_of(target.path, entry)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise TaskFailed(f"cannot roll back {target.path!r}: the backup {path!r} is gone") from None
    try:
        if await digest_of(fd) != entry.digest:
            raise TaskFailed(f"cannot roll back {target.path!r}: the backup {path!r} was changed")

        async def write(to: int) -> None:
            await copy_file(fd, to, hashed=False)

        async def read(limit: int) -> bytes:
            return await read_all(fd, limit)

        content = Content(digest=entry.digest, size=entry.size, write=write, read=read)
        wanted = wanted_by(work.spec).or_else(Wanted(entry.uid, entry.gid, entry.mode))
        try:
            await replace_file(work, target, content, wanted, kind=UNDONE)
        finally:
            if not work.spec.dry_run and (work.result.get("changed") or work.result.get("old") == entry.digest):
                finish(work, target.path, entry)
    finally:
        os.close(fd)


async def _remove(work: Work, target: Target, entry: Entry) -> None:
    """The file was made by the change that is undone: it goes again."""
    sweep(work, target)
    result = work.result
    result.update(
        changed=False, dest=target.path, old=None, new=None, size=0, backup=None, validated=False, notified=None
    )
    if target.regular() is not None:
        backups = work.ground.backups
        fd = target.folder.open_read(target.name)
        try:
            result["old"] = await digest_of(fd)
            result["changed"] = True
            if work.spec.dry_run:
                return
            kept = await backups.keep(target.path, work.id, source=fd, digest=result["old"], kind=UNDONE)
            result["backup"] = backups.path_of(target.path, kept)
        finally:
            os.close(fd)
        with work.hold():
            work.save(removed=dict(result))
            target.folder.unlink(target.name)
            await in_thread(target.folder.sync)
    elif "removed" in work.progress:
        result.update(work.progress["removed"])
    elif work.spec.dry_run:
        return
    with contextlib.suppress(FileNotFoundError):
        finish(work, target.path, entry)
    if result["changed"]:
        await notify(work)
