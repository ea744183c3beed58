"""Replacing one file, so that whoever looks sees the old one or the new one: the heart of apply, copy and rollback.

 1 look       the target is a regular file or nothing; what already has content, owner and mode as wanted is `unchanged`
 2 make       the new file beside it, under a name of ours alone: content, fsync, owner, mode
 3 validate   the command of the task looks at it
 4 keep       the old content goes to <state>/backups
 5 remember   `progress` says durably that the rename is next, with what was there before
 6 rename     and fsync of the folder
 7 notify

Run again after a crash, it first removes what 2 left behind. Killed after 6 it finds the new content there and, by 5, knows that
this was its own doing: it reports the change and goes on at 7. So one attempt changes the target at most once, and always says so.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from corral.agent.worker.builtin import ownership
from corral.agent.worker.builtin.backups import PREVIOUS
from corral.agent.worker.builtin.commands import notify, validate
from corral.agent.worker.builtin.diff import BYTES_MAX, unified
from corral.agent.worker.builtin.errors import TaskFailed
from corral.agent.worker.builtin.filling import digest_of, read_all, sync_file
from corral.agent.worker.builtin.ownership import Wanted
from corral.agent.worker.builtin.work import Work
from corral.runtime.safepath import Target
from corral.runtime.threads import in_thread

_NEW_MODE: Final = 0o644


@dataclass(frozen=True, kw_only=True)
class Content:
    """What the file is to hold. `write` fills an empty descriptor; `read` gives at most so many bytes, for a diff."""

    digest: str
    size: int
    write: Callable[[int], Awaitable[None]]
    read: Callable[[int], Awaitable[bytes]]


@dataclass(frozen=True, kw_only=True)
class _Old:
    """What is at the target. `fd` is open as long as the task runs."""

    fd: int
    found: os.stat_result
    digest: str


async def replace_file(
    work: Work, target: Target, content: Content, wanted: Wanted, *, kind: str = PREVIOUS, title: str = ""
) -> None:
    """Make `target` hold `content`. `title` names the file in a diff. Raises TaskFailed, UnsafePath, OSError; or is stopped."""
    spec, result = work.spec, work.result
    result.update(changed=False, dest=target.path, old=None, new=content.digest, size=content.size, backup=None)
    result.update(validated=False, notified=None)
    sweep(work, target)
    work.check()
    async with _looked_at(target) as old:
        if old is not None:
            result["old"] = old.digest
        if _done_before(work, old, content):
            await notify(work)
            return
        work.start_over()
        same_content = old is not None and old.digest == content.digest
        whole = wanted if old is None else wanted.or_else(ownership.of(old.found))
        if old is not None and same_content and whole.holds(old.found):
            return
        if spec.diff:
            await _show_diff(work, old, content, title or spec.dest, whole)
        if spec.dry_run:
            result["changed"] = True
            return
        if old is not None and same_content:
            backup = await _keep(work, target, old, kind)
            _remember(work, old, content, backup, whole)
            with work.hold():
                await in_thread(_set_in_place, target, old, whole)
                result.update(changed=True, backup=backup)
        else:
            await _put(
                work, target, old, content, replace(whole, mode=_NEW_MODE if whole.mode is None else whole.mode), kind
            )
    await notify(work)


def sweep(work: Work, target: Target) -> None:
    """Remove what an earlier run of this attempt left beside the target."""
    with contextlib.suppress(FileNotFoundError):
        target.folder.unlink(work.temporary)


def _done_before(work: Work, old: _Old | None, content: Content) -> bool:
    """Whether an earlier run of this attempt did the rename; then its findings are the result."""
    memory = work.progress.get("rename")
    if memory is None or old is None or old.digest != content.digest or old.digest != memory["new"]:
        return False
    if not Wanted(*memory["wanted"]).holds(old.found):
        return False
    work.result.update(changed=True, old=memory["old"], backup=memory["backup"], validated=memory["validated"])
    return True


def _remember(work: Work, old: _Old | None, content: Content, backup: str | None, whole: Wanted) -> None:
    memory: dict[str, Any] = {
        "new": content.digest,
        "old": None if old is None else old.digest,
        "backup": backup,
        "validated": work.result["validated"],
        "wanted": [whole.uid, whole.gid, whole.mode],
    }
    work.save(rename=memory)


async def _put(work: Work, target: Target, old: _Old | None, content: Content, whole: Wanted, kind: str) -> None:
    spec, folder, name = work.spec, target.folder, work.temporary
    fd = folder.create(name)
    try:
        await content.write(fd)
        await sync_file(fd)
        whole.put_on(fd, target.path)
        if spec.validate:
            await validate(work, folder.at(name))
            _still(os.fstat(fd).st_size == content.size, target, "the validation command changed the new file")
        backup = await _keep(work, target, old, kind)
        _remember(work, old, content, backup, whole)
        with work.hold():
            _still(_unchanged(target, old), target, "it was changed by somebody else meanwhile")
            folder.rename(name, target.name)
            work.result.update(changed=True, backup=backup)
            await in_thread(folder.sync)
    except BaseException:
        sweep(work, target)
        raise
    finally:
        os.close(fd)


async def _keep(work: Work, target: Target, old: _Old | None, kind: str) -> str | None:
    """Remember what is there; the path of the copy, None when there is none. Every change leaves one entry, so each can be undone."""
    entry = await work.ground.backups.keep(
        target.path,
        work.id,
        source=None if old is None else old.fd,
        digest="" if old is None else old.digest,
        kind=kind,
        content=work.spec.backup,
    )
    return work.ground.backups.path_of(target.path, entry) if entry.kept and not entry.absent else None


def _set_in_place(target: Target, old: _Old, whole: Wanted) -> None:
    """Only owner or mode differ: set them on the very file that was looked at."""
    whole.put_on(old.fd, target.path)
    os.fsync(old.fd)


def _unchanged(target: Target, old: _Old | None) -> bool:
    found = target.regular()
    if found is None or old is None:
        return found is None and old is None
    before = old.found
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) == (
        before.st_dev,
        before.st_ino,
        before.st_size,
        before.st_mtime_ns,
    )


def _still(sound: bool, target: Target, why: str) -> None:
    if not sound:
        raise TaskFailed(f"cannot replace {target.path!r}: {why}; nothing was done", hint="run it again")


@contextlib.asynccontextmanager
async def _looked_at(target: Target) -> AsyncIterator[_Old | None]:
    """What is at the target, read through a descriptor that stays open."""
    if target.regular() is None:
        yield None
        return
    fd = target.folder.open_read(target.name)
    try:
        yield _Old(fd=fd, found=os.fstat(fd), digest=await digest_of(fd))
    finally:
        os.close(fd)


async def _show_diff(work: Work, old: _Old | None, content: Content, title: str, whole: Wanted) -> None:
    before = None if old is None else await read_all(old.fd, BYTES_MAX + 1)
    after = before if old is not None and old.digest == content.digest else await content.read(BYTES_MAX + 1)
    text = await in_thread(unified, before, after, name=title)
    if old is not None:
        was = ownership.of(old.found)
        if whole.mode != was.mode:
            text += f"mode {was.mode:04o} → {whole.mode:04o}\n"
        if (whole.uid, whole.gid) != (was.uid, was.gid):
            text += f"owner {was.uid}:{was.gid} → {whole.uid}:{whole.gid}\n"
    work.out(text.encode())
