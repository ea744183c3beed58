"""Files of other people, touched by directory handle only: no symbolic link is followed, no name is looked up twice.

A path is resolved once, to a handle of its folder: by openat2 (RESOLVE_NO_SYMLINKS, and RESOLVE_BENEATH under an allowed root), or
where the kernel has none by a walk that opens every folder with O_NOFOLLOW. Everything after that names one entry of that handle,
so whoever swaps a folder for a link meanwhile moves nothing of ours. Only regular files are ever read or replaced.

with open_target("/srv/app/conf", create=True) as target:
    before = target.regular()                        # None, or its stat; a link, device, FIFO, socket or folder raises UnsafePath
    fd = target.folder.create(".conf.tmp")           # O_EXCL; write, fsync, fchown, fchmod
    target.folder.rename(".conf.tmp", target.name)   # then folder.sync()
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from corral.domain.errors import Invalid

_OPENAT2: Final = 437
"""The same number on every architecture."""
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x01, 0x02, 0x04, 0x08
_AT_FDCWD: Final = -100
_EXCHANGE: Final = 2
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PATH_BYTES_MAX: Final = 4095
_NAME_BYTES_MAX: Final = 255

_KINDS: Final = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
)


class UnsafePath(Invalid):
    """A path that cannot be used without following, or hitting, what nobody asked for. `element` is the path."""


def kind_of(mode: int) -> str:
    """The word for what is there: `a symbolic link`, `a FIFO`, …, `a regular file`."""
    return next((word for test, word in _KINDS if test(mode)), "a regular file")


def split_path(path: str) -> tuple[str, ...]:
    """The names of an absolute path. Raises UnsafePath for a relative one, `..`, NUL, and what no file can be called."""
    if not path.startswith("/"):
        raise UnsafePath(f"cannot use {path[:200]!r}: expected an absolute path", element=path[:200])
    names = tuple(name for name in path.split("/") if name not in ("", "."))
    try:
        size, longest = len(path.encode()), max((len(name.encode()) for name in names), default=0)
    except UnicodeEncodeError:
        raise UnsafePath(f"cannot use {path[:200]!r}: it is not UTF-8", element=path[:200]) from None
    if ".." in names or "\0" in path:
        raise UnsafePath(f"cannot use {path[:200]!r}: it holds {'..' if '..' in names else 'NUL'}", element=path[:200])
    if size > _PATH_BYTES_MAX or longest > _NAME_BYTES_MAX:
        raise UnsafePath(f"cannot use {path[:80]!r}…: it is too long for a path", element=path[:200])
    return names


class Folder:
    """A handle of one folder, and what is done to the entries in it. `path` is only for messages and for other programs."""

    __slots__ = ("fd", "path")

    def __init__(self, fd: int, path: str) -> None:
        self.fd = fd
        self.path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def at(self, name: str) -> str:
        return f"{self.path.rstrip('/')}/{name}"

    def stat(self, name: str) -> os.stat_result | None:
        """Of the entry itself, never of what a link points to; None when there is none."""
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def open_read(self, name: str) -> int:
        """A descriptor of a regular file. Raises UnsafePath, OSError."""
        # looked at first: to open a device can be an act, and a FIFO may wait for ever (hence O_NONBLOCK if it is swapped in)
        self._only_regular(name, os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_mode)
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.fd)
        try:
            self._only_regular(name, os.fstat(fd).st_mode)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _only_regular(self, name: str, mode: int) -> None:
        if not stat.S_ISREG(mode):
            raise UnsafePath(f"cannot use {self.at(name)!r}: it is {kind_of(mode)}", element=self.at(name))

    def create(self, name: str, mode: int = 0o600) -> int:
        """A descriptor of a new file, for writing (and reading); raises FileExistsError for whatever is there, a link included."""
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=self.fd)

    def mkdir(self, name: str, mode: int = 0o700) -> None:
        os.mkdir(name, mode, dir_fd=self.fd)

    def folder(self, name: str) -> Folder:
        """A handle of a folder in this one. Raises UnsafePath when it is a link or no folder."""
        try:
            return Folder(os.open(name, _FOLDER_FLAGS, dir_fd=self.fd), self.at(name))
        except OSError as error:
            raise _explained(error, self.fd, (name,), self.path) from None

    def names(self) -> list[str]:
        return os.listdir(self.fd)

    def rename(self, old: str, new: str) -> None:
        """Atomic; replaces a file that is there."""
        os.rename(old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def exchange(self, one: str, other: str) -> None:
        """Swap two entries. Atomic where the kernel and libc can; else there is an instant without `other`."""
        call = getattr(_libc(), "renameat2", None)
        if call is not None and call(self.fd, os.fsencode(one), self.fd, os.fsencode(other), _EXCHANGE) == 0:
            return
        if call is not None and (number := ctypes.get_errno()) not in (errno.ENOSYS, errno.EINVAL):
            raise OSError(number, os.strerror(number), self.at(other))
        aside = f"{one}.aside"
        self.rename(other, aside)
        self.rename(one, other)
        self.rename(aside, one)

    def unlink(self, name: str) -> None:
        os.unlink(name, dir_fd=self.fd)

    def rmdir(self, name: str) -> None:
        os.rmdir(name, dir_fd=self.fd)

    def sync(self) -> None:
        os.fsync(self.fd)


class Target:
    """One entry of a folder: where a file is, or is to be."""

    __slots__ = ("folder", "name")

    def __init__(self, folder: Folder, name: str) -> None:
        self.folder = folder
        self.name = name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.folder.close()

    @property
    def path(self) -> str:
        return self.folder.at(self.name)

    def stat(self) -> os.stat_result | None:
        return self.folder.stat(self.name)

    def regular(self) -> os.stat_result | None:
        """The stat of a regular file, None when there is nothing. Raises UnsafePath for anything else."""
        return self._only(stat.S_ISREG, "a regular file")

    def directory(self) -> os.stat_result | None:
        """The stat of a directory, None when there is nothing. Raises UnsafePath for anything else."""
        return self._only(stat.S_ISDIR, "a directory")

    def _only(self, test: object, word: str) -> os.stat_result | None:
        found = self.stat()
        if found is not None and kind_of(found.st_mode) != word:
            raise UnsafePath(
                f"cannot replace {self.path!r}: it is {kind_of(found.st_mode)}, not {word}", element=self.path
            )
        return found


def open_target(path: str, *, roots: Sequence[str] = (), create: bool = False) -> Target:
    """The entry `path` names, by a handle of its folder. `create` makes missing folders (0755). Raises UnsafePath, OSError."""
    names = split_path(path)
    if not names:
        raise UnsafePath("cannot use '/': it is the root of the machine", element="/")
    return Target(open_folder("/" + "/".join(names[:-1]), roots=roots, create=create), names[-1])


def open_folder(path: str, *, roots: Sequence[str] = (), create: bool = False) -> Folder:
    """A handle of the folder `path`, reached without a symbolic link, and beneath one of `roots` if there are any."""
    names = split_path(path)
    base: tuple[str, ...] = ()
    if roots:
        found = [root for root in map(split_path, roots) if names[: len(root)] == root]
        if not found:
            raise UnsafePath(
                f"cannot use {path!r}: this node keeps files to {', '.join(roots)}",
                element=path,
                hint="the node's setting agent.file_roots says where files may go",
            )
        base = max(found, key=len)
    top = _walk(None, base, "/", create=False)
    if names == base:
        return Folder(top, path)
    try:
        return Folder(_walk(top, names[len(base) :], "/" + "/".join(base), create=create), path)
    finally:
        os.close(top)


def _walk(start: int | None, names: tuple[str, ...], base: str, *, create: bool) -> int:
    """A handle of the folder `names` below `start` (None = the root of the machine)."""
    try:
        return _open_beneath(start, names)
    except FileNotFoundError:
        if not create:
            raise FileNotFoundError(errno.ENOENT, "no such directory", _joined(base, names)) from None
    except OSError as error:
        top = os.open("/", _FOLDER_FLAGS) if start is None else os.dup(start)
        try:
            raise _explained(error, top, names, base) from None
        finally:
            os.close(top)
    return _step(start, names, base, create=True)


def _open_beneath(start: int | None, names: tuple[str, ...]) -> int:
    if start is None:
        path, resolve = "/" + "/".join(names), _NO_SYMLINKS | _NO_MAGICLINKS
    else:
        path, resolve = "/".join(names), _NO_SYMLINKS | _NO_MAGICLINKS | _BENEATH
    if openat2_works():
        return _openat2(_AT_FDCWD if start is None else start, path, resolve)
    return _step(start, names, "", create=False)


def _step(start: int | None, names: tuple[str, ...], base: str, *, create: bool) -> int:
    """The walk by hand: one folder at a time, each opened from the handle of the one before."""
    fd = os.open("/", _FOLDER_FLAGS) if start is None else os.dup(start)
    for depth, name in enumerate(names):
        try:
            try:
                below = os.open(name, _FOLDER_FLAGS, dir_fd=fd)
            except FileNotFoundError:
                if not create:
                    raise
                try:
                    os.mkdir(name, 0o755, dir_fd=fd)
                except FileExistsError:
                    pass  # somebody else made it: whatever it is, it is opened as strictly as the others
                below = os.open(name, _FOLDER_FLAGS, dir_fd=fd)
        except OSError as error:
            if not create:
                raise
            raise _explained(error, fd, names[depth:], _joined(base, names[:depth])) from None
        finally:
            os.close(fd)
        fd = below
    return fd


def _explained(error: OSError, fd: int, names: tuple[str, ...], base: str) -> OSError | UnsafePath:
    """Why the folder could not be opened: which name of the path is a link, or no folder."""
    if error.errno not in (errno.ELOOP, errno.ENOTDIR, errno.EXDEV):
        return OSError(error.errno or 0, os.strerror(error.errno or 0), _joined(base, names))
    try:
        fd = os.dup(fd)
    except OSError:
        return UnsafePath(f"cannot use {_joined(base, names)!r}: part of it is a symbolic link or no directory")
    try:
        for depth, name in enumerate(names):
            path = _joined(base, names[: depth + 1])
            mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                real = os.readlink(name, dir_fd=fd)
                return UnsafePath(
                    f"cannot go through {path!r}: it is a symbolic link", element=path, hint=f"it points to {real!r}"
                )
            if not stat.S_ISDIR(mode):
                return UnsafePath(f"cannot go through {path!r}: it is {kind_of(mode)}, not a directory", element=path)
            below = os.open(name, _FOLDER_FLAGS, dir_fd=fd)
            os.close(fd)
            fd = below
    except OSError:
        pass  # it changed while we looked
    finally:
        os.close(fd)
    return UnsafePath(f"cannot use {_joined(base, names)!r}: it changed while it was opened", element=base)


def _joined(base: str, names: Sequence[str]) -> str:
    return "/".join([base.rstrip("/"), *names]) or "/"


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_cache: dict[str, object] = {}


def openat2_works() -> bool:
    """Whether this kernel (5.6 and later) and its container let us use openat2."""
    if "openat2" not in _cache:
        try:
            os.close(_openat2(_AT_FDCWD, "/", _NO_SYMLINKS))
            _cache["openat2"] = True
        except OSError:
            _cache["openat2"] = False
    return bool(_cache["openat2"])


def without_openat2(*, off: bool = True) -> None:
    """For tests: behave as on an older kernel."""
    _cache.pop("openat2", None)
    if off:
        _cache["openat2"] = False


def _openat2(fd: int, path: str, resolve: int) -> int:
    how = _How(_FOLDER_FLAGS, 0, resolve)
    size = ctypes.c_size_t(ctypes.sizeof(how))
    for _ in range(64):
        found = int(_libc().syscall(ctypes.c_long(_OPENAT2), fd, os.fsencode(path), ctypes.byref(how), size))
        # EAGAIN: something was renamed during the walk, and the kernel cannot say whether it stayed beneath
        if found >= 0 or ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
            break
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return found


def _libc() -> ctypes.CDLL:
    if "libc" not in _cache:
        _cache["libc"] = ctypes.CDLL(None, use_errno=True)
    return _cache["libc"]  # type: ignore[return-value]  # the cache holds two kinds of things


def sync_filesystem(fd: int) -> None:
    """Everything written to the file system of `fd` is on disk: one call for a tree of files."""
    call = getattr(_libc(), "syncfs", None)
    if call is None or call(fd) != 0:
        os.sync()
