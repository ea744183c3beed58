"""`file preview`: what is at a path of the node: the first bytes of a file, or the entries of a directory."""

from __future__ import annotations

import os
import stat
from typing import Final

from corral.agent.worker.builtin.diff import is_binary
from corral.agent.worker.builtin.errors import TaskFailed
from corral.agent.worker.builtin.filling import digest_of
from corral.agent.worker.builtin.paths import dest_of, opened
from corral.agent.worker.builtin.work import Work
from corral.domain.artifact import FileSpec
from corral.runtime.safepath import Folder, Target, kind_of

_BYTES_MAX: Final = 64 << 10
_ENTRIES_MAX: Final = 1000
_HASHED_BYTES_MAX: Final = 64 << 20


async def preview(spec: FileSpec, work: Work) -> None:
    path = dest_of(work)
    work.permit("preview")
    work.start_over()
    with opened(work, path) as target:
        found = target.stat()
        if found is None:
            raise TaskFailed(f"cannot preview {path!r}: there is no such file")
        work.result.update(
            changed=False,
            dest=path,
            kind=kind_of(found.st_mode),
            size=found.st_size,
            mode=f"{stat.S_IMODE(found.st_mode):04o}",
            owner=f"{found.st_uid}:{found.st_gid}",
            mtime=found.st_mtime,
        )
        if stat.S_ISREG(found.st_mode):
            await _file(work, target, min(_BYTES_MAX, spec.max_output_bytes // 2))
        elif stat.S_ISDIR(found.st_mode):
            with target.folder.folder(target.name) as folder:
                work.out(_listing(folder).encode(errors="replace"))
        # of a link, a device, a FIFO or a socket nothing is opened: that it is one says all


async def _file(work: Work, target: Target, limit: int) -> None:
    fd = target.folder.open_read(target.name)
    try:
        data = os.pread(fd, limit, 0)
        whole = len(data) == os.fstat(fd).st_size
        work.result.update(whole=whole, binary=is_binary(data, cut=not whole))
        if os.fstat(fd).st_size <= _HASHED_BYTES_MAX:
            work.result["new"] = await digest_of(fd)
        work.out(data)
    finally:
        os.close(fd)


def _listing(folder: Folder) -> str:
    names = sorted(folder.names())
    lines = []
    for name in names[:_ENTRIES_MAX]:
        found = folder.stat(name)
        if found is not None:
            shown = "".join(c if c.isprintable() else "?" for c in name)
            lines.append(f"{stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid} {found.st_size:>12} {shown}\n")
    if len(names) > _ENTRIES_MAX:
        lines.append(f"… and {len(names) - _ENTRIES_MAX} more\n")
    return "".join(lines)
