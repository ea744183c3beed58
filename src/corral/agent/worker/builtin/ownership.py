"""Owner and mode of a file as a task asks for them, in numbers, and putting them on a descriptor."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass

from corral.agent.worker.builtin.errors import TaskFailed
from corral.domain.artifact import FileSpec


@dataclass(frozen=True, slots=True)
class Wanted:
    """None = leave it as it is (or, for a new file, as the agent makes it)."""

    uid: int | None = None
    gid: int | None = None
    mode: int | None = None

    def or_else(self, other: Wanted) -> Wanted:
        """This, and where it says nothing `other`."""
        return Wanted(
            other.uid if self.uid is None else self.uid,
            other.gid if self.gid is None else self.gid,
            other.mode if self.mode is None else self.mode,
        )

    def holds(self, found: os.stat_result) -> bool:
        """Whether a file with this stat is as wanted already."""
        return (
            self.uid in (None, found.st_uid)
            and self.gid in (None, found.st_gid)
            and self.mode in (None, stat.S_IMODE(found.st_mode))
        )

    def put_on(self, fd: int, path: str) -> None:
        """Owner first: changing it takes the set-id bits away again."""
        try:
            found = os.fstat(fd)
            if self.uid not in (None, found.st_uid) or self.gid not in (None, found.st_gid):
                os.fchown(fd, -1 if self.uid is None else self.uid, -1 if self.gid is None else self.gid)
            if self.mode is not None:
                os.fchmod(fd, self.mode)
        except PermissionError:
            raise TaskFailed(
                f"cannot give {path!r} to {self.uid}:{self.gid}: the agent may not",
                hint="run the agent as root, or leave --owner away",
            ) from None


def wanted_by(spec: FileSpec) -> Wanted:
    """Raises TaskFailed for a user or group this node does not have."""
    user, colon, group = spec.owner.partition(":")
    mode = int(spec.mode, 8) if spec.mode else None
    if not spec.owner:
        return Wanted(mode=mode)
    uid = gid = None
    if user:
        try:
            account = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
            uid = account.pw_uid
            if colon and not group:
                gid = account.pw_gid
        except (KeyError, OverflowError):
            if not user.isdigit() or int(user) >= 1 << 32:
                raise TaskFailed(f"cannot give the file to {user!r}: no such user on this node") from None
            uid = int(user)
    if group:
        gid = _group(group)
    return Wanted(uid, gid, mode)


def _group(name: str) -> int:
    if name.isdigit() and int(name) < 1 << 32:
        return int(name)
    import grp  # only few tasks name a group

    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise TaskFailed(f"cannot give the file to group {name!r}: no such group on this node") from None


def of(found: os.stat_result) -> Wanted:
    """As this file is."""
    return Wanted(found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
