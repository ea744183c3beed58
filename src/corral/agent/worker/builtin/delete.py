"""`file delete`: a file goes, its content to the backups; a directory goes only when the task says `recursive`.

Never a system path, never across a mount, never through a link (a link itself is removed, what it points to is not). Nothing there is
`unchanged`. A tree is emptied by handles, from the leaves; when it was stopped half-way the next run goes on.
"""

from __future__ import annotations

import contextlib
import os
import stat

from corral.agent.worker.builtin.commands import notify
from corral.agent.worker.builtin.errors import TaskFailed
from corral.agent.worker.builtin.filling import digest_of
from corral.agent.worker.builtin.paths import dest_of, opened, refuse_mounts, refuse_system_path
from corral.agent.worker.builtin.trees import remove_tree
from corral.agent.worker.builtin.work import Work
from corral.domain.artifact import FileSpec
from corral.runtime.safepath import Target, kind_of
from corral.runtime.threads import in_thread


async def delete(spec: FileSpec, work: Work) -> None:
    dest = dest_of(work)
    refuse_system_path(dest, "delete")
    work.permit("delete", removes=(dest,))
    result = work.result
    result.update(changed=False, dest=dest, old=None, new=None, size=0, backup=None, validated=False, notified=None)
    try:
        target = opened(work, dest)
    except TaskFailed as error:
        if isinstance(error.__context__, FileNotFoundError):
            return
        raise
    with target:
        found = target.stat()
        if found is None:
            result.update(work.progress.get("delete", {}))
        elif spec.dry_run:
            _refuse_directory(spec, target, found)
            result.update(changed=True, size=found.st_size)
            return
        elif stat.S_ISDIR(found.st_mode):
            _refuse_directory(spec, target, found)
            await _tree(work, target)
        else:
            await _file(work, target, found)
    if result["changed"]:
        await notify(work)


def _refuse_directory(spec: FileSpec, target: Target, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        if not spec.recursive:
            raise TaskFailed(f"cannot delete {target.path!r}: it is a directory", hint="--recursive deletes it whole")
        refuse_mounts(target.path, "delete")
    elif stat.S_ISBLK(found.st_mode) or stat.S_ISCHR(found.st_mode):
        raise TaskFailed(f"cannot delete {target.path!r}: it is {kind_of(found.st_mode)}")


async def _file(work: Work, target: Target, found: os.stat_result) -> None:
    _refuse_directory(work.spec, target, found)
    result, backups = work.result, work.ground.backups
    if stat.S_ISREG(found.st_mode):
        fd = target.folder.open_read(target.name)
        try:
            result.update(old=await digest_of(fd), size=found.st_size)
            entry = await backups.keep(target.path, work.id, source=fd, digest=result["old"], content=work.spec.backup)
            result["backup"] = backups.path_of(target.path, entry) if entry.kept else None
        finally:
            os.close(fd)
    with work.hold():
        work.save(delete={**result, "changed": True})
        with contextlib.suppress(FileNotFoundError):
            target.folder.unlink(target.name)
        result["changed"] = True
        await in_thread(target.folder.sync)


async def _tree(work: Work, target: Target) -> None:
    work.check()
    work.save(delete={**work.result, "changed": True})
    await remove_tree(target.folder, target.name, stopped=lambda: work.stop_asked)
    work.result["changed"] = True
    work.check()
    await in_thread(target.folder.sync)
