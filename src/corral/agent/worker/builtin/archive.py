"""An archive becomes the directory at `dest`, whole: extracted beside it, then swapped with what is there in one step.

What was there stays beside it as `.corral-previous-<name>` (one of them), so a rollback is a swap too. A tree is `unchanged` when the
same archive made it and nothing in it was touched since. A directory the machine needs is never replaced, unless we made it.
"""

from __future__ import annotations

from typing import Any

from corral.agent.worker.builtin.backups import Entry, Tree
from corral.agent.worker.builtin.commands import notify, validate
from corral.agent.worker.builtin.errors import TaskFailed
from corral.agent.worker.builtin.extract import Extracted, Stopped, extract
from corral.agent.worker.builtin.filling import digest_of
from corral.agent.worker.builtin.ownership import Wanted, wanted_by
from corral.agent.worker.builtin.paths import opened, refuse_mounts, refuse_system_path
from corral.agent.worker.builtin.trees import remove_tree, tree_digest
from corral.agent.worker.builtin.undone import finish
from corral.agent.worker.builtin.work import Work
from corral.domain.artifact import FileSpec
from corral.runtime.safepath import Target, sync_filesystem
from corral.runtime.threads import in_thread

_TOP_MODE = 0o755


async def apply_archive(spec: FileSpec, work: Work, dest: str) -> None:
    work.permit("apply", writes=(dest,), removes=())
    result, backups = work.result, work.ground.backups
    result.update(changed=False, dest=dest, old=None, new=spec.digest, size=spec.size, backup=None)
    result.update(validated=False, notified=None)
    with opened(work, dest, create=not spec.dry_run) as target:
        if await _finished_before(work, target):
            await notify(work)
            return
        await remove_tree(target.folder, work.temporary)
        work.check()
        work.start_over()
        there = target.directory() is not None
        known = backups.tree(dest)
        if known is not None:
            result["old"] = known.archive
        same = there and known is not None and known.archive == spec.digest
        if same and known is not None and await in_thread(tree_digest, target.folder, target.name) == known.tree:
            return
        if there:
            refuse_mounts(dest, "replace")
            if known is None:
                refuse_system_path(dest, "replace")
        if spec.dry_run:
            result["changed"] = True
            return
        try:
            await _extract(spec, work, target)
            if spec.validate:
                await validate(work, target.folder.at(work.temporary))
            await _swap_in(spec, work, target)
        except BaseException:
            await remove_tree(target.folder, work.temporary)
            raise
    await notify(work)


async def _extract(spec: FileSpec, work: Work, target: Target) -> None:
    wanted = wanted_by(spec)
    blobs = work.ground.blobs
    with await blobs.lease(spec.digest, spec.size, spec.blob, bandwidth=spec.bandwidth) as lease:
        if not lease.checked and await digest_of(lease.fd) != spec.digest:
            blobs.drop(spec.digest)
            raise TaskFailed(
                "cannot extract the archive: this node's copy was damaged; it is gone now", hint="run it again"
            )
        target.folder.mkdir(work.temporary)
        with target.folder.folder(work.temporary) as root:
            try:
                done: Extracted = await in_thread(
                    extract, lease.fd, spec.archive, root, wanted, lambda: work.stop_asked or work.leaving
                )
            except Stopped:
                work.check()
                raise TaskFailed("cannot extract the archive: the agent is leaving") from None
            Wanted(wanted.uid, wanted.gid, _TOP_MODE if wanted.mode is None else wanted.mode).put_on(root.fd, root.path)
            await in_thread(sync_filesystem, root.fd)
    work.result.update(files=done.files, directories=done.directories, bytes=done.bytes)


def _previous(target: Target) -> str:
    return f".corral-previous-{target.name}"[:255]


async def _swap_in(spec: FileSpec, work: Work, target: Target) -> None:
    tree = await in_thread(tree_digest, target.folder, work.temporary)
    there = target.directory() is not None
    backup = target.folder.at(_previous(target)) if there and spec.backup else None
    if backup is not None:
        # the one before the last goes: only one is kept, or a site of gigabytes would be there five times
        await remove_tree(target.folder, _previous(target), stopped=lambda: work.stop_asked)
    work.result["backup"] = backup
    memory: dict[str, Any] = {**work.result, "changed": True}
    work.save(swap={"tree": tree, "backup": backup or "", "result": memory})
    with work.hold():
        if there:
            target.folder.exchange(work.temporary, target.name)
        else:
            target.folder.rename(work.temporary, target.name)
        work.result["changed"] = True
        await _settle(work, target, tree, backup or "")


async def _settle(work: Work, target: Target, tree: str, backup: str) -> None:
    """The new tree is in place: put the old one where a rollback finds it, and write down what was done. Done twice it is the same."""
    folder, backups = target.folder, work.ground.backups
    if folder.stat(work.temporary) is not None:
        if backup:
            folder.rename(work.temporary, _previous(target))
        else:
            await remove_tree(folder, work.temporary)
    await in_thread(folder.sync)
    await backups.keep_tree(target.path, work.id, path=backup)
    backups.set_tree(target.path, Tree(archive=work.spec.digest, tree=tree, before=work.result["old"] or ""))


async def _finished_before(work: Work, target: Target) -> bool:
    """Whether an earlier run of this attempt put the tree in place."""
    memory = work.progress.get("swap")
    if memory is None or await in_thread(tree_digest, target.folder, target.name) != memory["tree"]:
        return False
    work.result.update(memory["result"])
    await _settle(work, target, memory["tree"], memory["backup"])
    return True


async def rollback_tree(work: Work, dest: str, entry: Entry) -> None:
    """Swap back the tree that was there, or remove the one that was made where nothing was."""
    result, backups = work.result, work.ground.backups
    known = backups.tree(dest)
    result.update(
        changed=False, dest=dest, old=known.archive if known else None, new=(known.before if known else "") or None
    )
    result.update(size=0, backup=None, validated=False, notified=None)
    with opened(work, dest) as target:
        memory = work.progress.get("swap")
        if memory is None:
            before = target.folder.stat(_previous(target))
            if not entry.absent and before is None:
                raise TaskFailed(f"cannot roll back {dest!r}: the tree that was there before is gone")
            if entry.absent:
                work.permit("rollback", removes=(dest,))
                refuse_mounts(dest, "remove")
            else:
                work.permit("rollback", writes=(dest,))
            result["changed"] = True
            if work.spec.dry_run:
                return
            memory = {"result": dict(result), "inode": before.st_ino if before is not None else 0}
            work.save(swap=memory)
        result.update(memory["result"])
        with work.hold():
            await _restore(work, target, entry, memory["inode"])
        finish(work, dest, entry)
    await notify(work)


async def _restore(work: Work, target: Target, entry: Entry, inode: int) -> None:
    """`inode` names the tree that belongs at the target, so a second run does not swap it away again."""
    folder, backups = target.folder, work.ground.backups
    if entry.absent:
        await remove_tree(folder, target.name)
        backups.set_tree(target.path, None)
        await in_thread(folder.sync)
        return
    there = target.directory()
    if there is None:
        folder.rename(_previous(target), target.name)
    elif there.st_ino != inode:
        folder.exchange(_previous(target), target.name)
    await in_thread(folder.sync)
    await remove_tree(folder, _previous(target))
    restored = await in_thread(tree_digest, folder, target.name)
    archive = work.result["new"]
    backups.set_tree(target.path, Tree(archive=archive, tree=restored) if archive else None)
