"""`file apply`: a revision becomes a file at `dest`, or an archive a directory.

What is there already is found by its digest before a byte is fetched, so repeating an apply costs one read of the file.
"""

from __future__ import annotations

import hashlib
import os

from corral.agent.worker.builtin.errors import TaskFailed
from corral.agent.worker.builtin.filling import copy_file, read_all, write_all
from corral.agent.worker.builtin.ownership import wanted_by
from corral.agent.worker.builtin.paths import dest_of, opened
from corral.agent.worker.builtin.replace import Content, replace_file
from corral.agent.worker.builtin.template import render_bytes
from corral.agent.worker.builtin.work import Work
from corral.domain.artifact import Archive, FileSpec

_TEMPLATE_BYTES_MAX = 4 << 20


async def apply(spec: FileSpec, work: Work) -> None:
    dest = dest_of(work)
    if spec.archive is not Archive.NONE:
        from corral.agent.worker.builtin.archive import apply_archive

        await apply_archive(spec, work, dest)
        return
    work.permit("apply", writes=(dest,))
    with opened(work, dest, create=not spec.dry_run) as target:
        content = await _rendered(work) if spec.template else _as_it_is(work)
        await replace_file(work, target, content, wanted_by(spec))


def _as_it_is(work: Work) -> Content:
    spec, blobs = work.spec, work.ground.blobs

    async def write(fd: int) -> None:
        with await blobs.lease(spec.digest, spec.size, spec.blob, bandwidth=spec.bandwidth) as lease:
            digest = await copy_file(lease.fd, fd, hashed=not lease.checked)
        if digest and digest != spec.digest:
            # the cache was damaged since: what is at the target is still what it was
            blobs.drop(spec.digest)
            os.ftruncate(fd, 0)
            with await blobs.lease(spec.digest, spec.size, spec.blob, bandwidth=spec.bandwidth) as lease:
                await copy_file(lease.fd, fd, hashed=False)

    async def read(limit: int) -> bytes:
        with await blobs.lease(spec.digest, spec.size, spec.blob, bandwidth=spec.bandwidth) as lease:
            return await read_all(lease.fd, limit)

    return Content(digest=spec.digest, size=spec.size, write=write, read=read)


async def _rendered(work: Work) -> Content:
    spec = work.spec
    if spec.size > _TEMPLATE_BYTES_MAX:
        raise TaskFailed(f"cannot render the template: it has {spec.size} bytes, at most {_TEMPLATE_BYTES_MAX} go")
    with await work.ground.blobs.lease(spec.digest, spec.size, spec.blob, bandwidth=spec.bandwidth) as lease:
        source = await read_all(lease.fd, _TEMPLATE_BYTES_MAX)
    if hashlib.sha256(source).hexdigest() != spec.digest:
        work.ground.blobs.drop(spec.digest)
        raise TaskFailed(
            "cannot render the template: this node's copy was damaged; it is gone now", hint="run it again"
        )
    return in_memory(render_bytes(source, work.variables))


def in_memory(data: bytes) -> Content:
    """Content that is small enough to be held."""

    async def write(fd: int) -> None:
        write_all(fd, data, 0)

    async def read(limit: int) -> bytes:
        return data[:limit]

    return Content(digest=hashlib.sha256(data).hexdigest(), size=len(data), write=write, read=read)
