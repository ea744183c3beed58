"""The paths of a file task on this node: rendered, opened by handle, and those that are nobody's to remove."""

from __future__ import annotations

import os
from typing import Final

from corral.agent.worker.builtin.errors import TaskFailed, os_failure
from corral.agent.worker.builtin.template import render_path
from corral.agent.worker.builtin.work import Work
from corral.domain.policy import SYSTEM_PATHS, under
from corral.runtime.safepath import Target, open_target, split_path

_MOUNTS: Final = "/proc/self/mountinfo"


def dest_of(work: Work) -> str:
    """`dest` for this node, in one spelling. Raises TaskFailed, UnsafePath."""
    dest = work.spec.dest
    if "{{" in dest:
        dest = render_path(dest, work.variables)
    return "/" + "/".join(split_path(dest))


def opened(work: Work, path: str, *, create: bool = False) -> Target:
    """Raises TaskFailed, UnsafePath."""
    state = str(work.ground.frame.state.root.absolute())
    if path == state or path.startswith(f"{state}/"):
        raise TaskFailed(f"cannot use {path!r}: it belongs to the agent itself")
    try:
        return open_target(path, roots=work.ground.roots, create=create)
    except FileNotFoundError as error:
        raise TaskFailed(f"cannot use {path!r}: there is no directory {error.filename!r}") from None
    except OSError as error:
        raise os_failure("use", path, error) from None


def refuse_system_path(path: str, what: str) -> None:
    """Raise TaskFailed for a path the machine needs, and for a folder of one."""
    if under(path, SYSTEM_PATHS):
        raise TaskFailed(f"cannot {what} {path!r}: it is a system path", hint="no file task removes those")


def refuse_mounts(path: str, what: str) -> None:
    """Raise TaskFailed when something is mounted at `path` or below it; bind mounts of the same file system too."""
    try:
        with open(_MOUNTS, "rb") as file:
            points = [os.fsdecode(line.split()[4].decode("unicode_escape").encode("latin-1")) for line in file]
    except (OSError, IndexError):
        return
    for point in points:
        if point == path or point.startswith(f"{path}/"):
            raise TaskFailed(f"cannot {what} {path!r}: {point!r} is a mount point")
