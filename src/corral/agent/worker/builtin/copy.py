"""`file copy`: one file of the node to another place on the node, by the same steps as an apply."""

from __future__ import annotations

import os

from corral.agent.worker.builtin import ownership
from corral.agent.worker.builtin.errors import TaskFailed
from corral.agent.worker.builtin.filling import copy_file, digest_of, read_all
from corral.agent.worker.builtin.ownership import wanted_by
from corral.agent.worker.builtin.paths import dest_of, opened
from corral.agent.worker.builtin.replace import Content, replace_file
from corral.agent.worker.builtin.work import Work
from corral.domain.artifact import FileSpec
from corral.runtime.safepath import split_path


async def copy(spec: FileSpec, work: Work) -> None:
    source, dest = "/" + "/".join(split_path(spec.source)), dest_of(work)
    work.permit("copy", writes=(dest,))
    with opened(work, source) as origin:
        if origin.regular() is None:
            raise TaskFailed(f"cannot copy {source!r}: there is no such file")
        fd = origin.folder.open_read(origin.name)
    try:
        digest = await digest_of(fd)
        found = os.fstat(fd)

        async def write(to: int) -> None:
            if await copy_file(fd, to, hashed=True) != digest:
                raise TaskFailed(f"cannot copy {source!r}: it changed meanwhile; nothing was done", hint="run it again")

        async def read(limit: int) -> bytes:
            return await read_all(fd, limit)

        content = Content(digest=digest, size=found.st_size, write=write, read=read)
        with opened(work, dest, create=not spec.dry_run) as target:
            # like cp -p: the copy is as its source, unless the task says otherwise
            await replace_file(work, target, content, wanted_by(spec).or_else(ownership.of(found)))
    finally:
        os.close(fd)
