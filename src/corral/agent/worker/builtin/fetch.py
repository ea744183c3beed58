"""`file fetch`: the bytes of a file of the node, as this task's stdout; its digest in the result.

The bytes are copied to the spool first and go up from there like all output: at least once, by offset, past reconnects and restarts.
A second run of the same attempt goes on with the copy it finds, provided that the file still begins with it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import Final

from corral.agent.worker.builtin.errors import TaskFailed
from corral.agent.worker.builtin.paths import dest_of, opened
from corral.agent.worker.builtin.work import Work
from corral.domain.artifact import FileSpec
from corral.runtime.limits import TokenBucket
from corral.runtime.threads import in_thread

_PIECE_BYTES: Final = 1 << 20


async def fetch(spec: FileSpec, work: Work) -> None:
    path = dest_of(work)
    work.permit("fetch")
    with opened(work, path) as target:
        if target.regular() is None:
            raise TaskFailed(f"cannot fetch {path!r}: there is no such file")
        source = target.folder.open_read(target.name)
    try:
        await _stream(spec, work, path, source)
    finally:
        os.close(source)


async def _stream(spec: FileSpec, work: Work, path: str, source: int) -> None:
    found = os.fstat(source)
    limit = work.ground.frame.settings.spool_max_bytes
    if found.st_size > limit:
        raise TaskFailed(
            f"cannot fetch {path!r}: it has {found.st_size} bytes, this node's spool takes {limit}",
            hint="the node's setting agent.spool_max_bytes raises it",
        )
    work.result.update(
        changed=False, dest=path, old=None, size=found.st_size, mode=f"{stat.S_IMODE(found.st_mode):04o}"
    )
    work.lift(found.st_size)
    out = os.open(f"{work.directory}/out", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    digest = hashlib.sha256()
    rate = TokenBucket(work.ground.frame.clock, spec.bandwidth)
    # the size is taken once: a file that grows while it is read is fetched as long as it was
    size, offset, copied = found.st_size, 0, os.fstat(out).st_size

    def piece(at: int) -> int:
        data = os.pread(source, min(_PIECE_BYTES, size - at), at)
        known = os.pread(out, len(data), at) if at < copied else b""
        if known != data[: len(known)]:
            raise TaskFailed(f"cannot fetch {path!r}: it changed while it was fetched", hint="run it again")
        view = memoryview(data)[len(known) :]
        while view:
            view = view[os.write(out, view) :]
        digest.update(data)
        return len(data)

    try:
        while offset < size:
            work.check()
            got = await in_thread(piece, offset)
            if not got:
                raise TaskFailed(f"cannot fetch {path!r}: it became shorter while it was fetched", hint="run it again")
            offset += got
            await rate.take(got)
    finally:
        os.close(out)
    now = os.stat(source)
    if (now.st_mtime_ns, now.st_size) != (found.st_mtime_ns, found.st_size):
        work.err(f"{path} was written to while it was fetched\n")
    work.result["new"] = digest.hexdigest()
