"""The names an archive may bring: relative, plain, each once. Pure; every rule here stands for an attack that worked somewhere."""

from __future__ import annotations

import unicodedata
from typing import Final

from corral.agent.worker.builtin.errors import TaskFailed

ENTRIES_MAX: Final = 10_000
_DEPTH_MAX: Final = 64
_NAME_BYTES_MAX: Final = 255
_PATH_BYTES_MAX: Final = 2048


class BadArchive(TaskFailed):
    """An archive that is refused whole: nothing of it reaches the target."""


def parts_of(name: str) -> tuple[str, ...]:
    """The parts of an entry's name; () for the root itself (`./`). Raises BadArchive."""
    shown = repr(name[:120])
    if "\0" in name:
        raise BadArchive(f"cannot extract {shown}: the name holds NUL")
    if name.startswith("/"):
        raise BadArchive(f"cannot extract {shown}: the name is absolute")
    if "\\" in name or (len(name) > 1 and name[1] == ":" and name[0].isalpha()):
        raise BadArchive(f"cannot extract {shown}: the name is one of another system")
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        raise BadArchive(f"cannot extract {shown}: the name holds a control character")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise BadArchive(f"cannot extract {shown}: the name leads out of the archive")
    if not name or (not parts and name.strip("./")):
        raise BadArchive(f"cannot extract {shown}: the name is empty")
    if len(parts) > _DEPTH_MAX or len(name.encode()) > _PATH_BYTES_MAX:
        raise BadArchive(f"cannot extract {shown}…: the name is too long or too deep")
    if any(len(part.encode()) > _NAME_BYTES_MAX for part in parts):
        raise BadArchive(f"cannot extract {shown}…: no file can be called that")
    return parts


class Names:
    """The names seen so far: what is a file, what a directory, and no two that a careless file system would take for one."""

    def __init__(self) -> None:
        self._folded: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._files: set[tuple[str, ...]] = set()
        self._directories: set[tuple[str, ...]] = set()
        self._listed: set[tuple[str, ...]] = set()
        self._count = 0

    def add(self, parts: tuple[str, ...], *, directory: bool) -> None:
        """Raises BadArchive when this name may not come now."""
        shown = repr("/".join(parts)[:120])
        self._count += 1
        if self._count > ENTRIES_MAX:
            raise BadArchive(f"cannot extract the archive: it has more than {ENTRIES_MAX} entries")
        if parts in self._listed:
            raise BadArchive(f"cannot extract {shown}: the name comes twice")
        self._listed.add(parts)
        for depth in range(1, len(parts) + 1):
            prefix = parts[:depth]
            folded = tuple(unicodedata.normalize("NFKC", part).casefold() for part in prefix)
            known = self._folded.setdefault(folded, prefix)
            if known != prefix:
                other = "/".join(known)[:120]
                raise BadArchive(f"cannot extract {shown}: it differs from {other!r} only in how it is written")
            if prefix in self._files:
                raise BadArchive(f"cannot extract {shown}: {'/'.join(prefix)[:120]!r} is a file already")
            if depth < len(parts) or directory:
                self._directories.add(prefix)
            elif prefix in self._directories:
                raise BadArchive(f"cannot extract {shown}: it is a directory already")
            else:
                self._files.add(prefix)
