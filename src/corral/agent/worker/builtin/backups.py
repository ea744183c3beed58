"""What file tasks replaced on this node, so that each node can go back to what it had itself.

<state>/backups/<hash of the path>/index.json    entries, oldest first, and what was last put there as a tree
<state>/backups/<hash of the path>/<n>           the content of entry n (plain bytes, 0600)

`previous` entries are a stack: a rollback takes the newest and removes it, so the next one goes further back. What a rollback itself
replaced is kept as `undone`: findable, and not part of the stack. An entry is written under the id of its task before the target
changes, once: a task that runs again after a crash finds its own. Bounded per path and in all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from corral.agent.worker.builtin.filling import copy_file, sync_file
from corral.agent.worker.frame import Frame
from corral.runtime.files import private_dir, sync_dir, write_atomic

PREVIOUS: Final = "previous"
UNDONE: Final = "undone"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One content a path had. `absent`: there was nothing. `kept` false: nobody wanted a backup, so it cannot come back."""

    id: int
    kind: str
    task: str
    at: float
    absent: bool = False
    kept: bool = True
    digest: str = ""
    size: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0
    tree: str = ""


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A directory that an archive became: digest of the archive, of the tree as it was then, and where the one before it lies."""

    archive: str
    tree: str
    before: str = ""


class Backups:
    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._root = frame.state.backups

    def _folder(self, dest: str) -> Path:
        return self._root / hashlib.sha256(dest.encode()).hexdigest()[:24]

    def path_of(self, dest: str, entry: Entry) -> str:
        return str(self._folder(dest) / str(entry.id))

    # --- index --------------------------------------------------------------------------------------------------------

    def _read(self, dest: str) -> dict[str, Any]:
        try:
            data = json.loads((self._folder(dest) / "index.json").read_bytes())
            return data if isinstance(data, dict) else {}
        except (FileNotFoundError, ValueError):
            return {}

    def _write(self, dest: str, **changes: Any) -> None:
        folder = self._folder(dest)
        private_dir(folder)
        data = {**self._read(dest), "dest": dest, **changes}
        write_atomic(folder / "index.json", json.dumps(data).encode())

    def entries(self, dest: str) -> list[Entry]:
        """Oldest first; what cannot be read is left out."""
        found = []
        for item in self._read(dest).get("entries", []):
            with contextlib.suppress(TypeError):
                found.append(Entry(**item))
        return found

    def newest(self, dest: str) -> Entry | None:
        """Where a rollback of `dest` goes."""
        return next((entry for entry in reversed(self.entries(dest)) if entry.kind == PREVIOUS), None)

    def by_id(self, dest: str, number: int) -> Entry | None:
        return next((entry for entry in self.entries(dest) if entry.id == number), None)

    def tree(self, dest: str) -> Tree | None:
        with contextlib.suppress(TypeError, KeyError):
            return Tree(**self._read(dest)["tree"])
        return None

    def set_tree(self, dest: str, tree: Tree | None) -> None:
        self._write(dest, tree=None if tree is None else asdict(tree))

    # --- keeping and giving back --------------------------------------------------------------------------------------

    async def keep(
        self, dest: str, task: str, *, source: int | None, digest: str = "", kind: str = PREVIOUS, content: bool = True
    ) -> Entry:
        """Remember what `dest` holds (`source` None = nothing). Durable. A second call of the same task finds the first's entry."""
        entries = self.entries(dest)
        mine = next((known for known in entries if known.task == task and known.kind == kind), None)
        if mine is not None:
            return mine
        entry = Entry(
            id=max((known.id for known in entries), default=0) + 1,
            kind=kind,
            task=task,
            at=self._frame.time.now(),
            absent=source is None,
            kept=content or source is None,
        )
        if source is not None:
            found = os.fstat(source)
            entry = replace(
                entry,
                digest=digest,
                size=found.st_size,
                mode=stat.S_IMODE(found.st_mode),
                uid=found.st_uid,
                gid=found.st_gid,
            )
            if content:
                await self._store(dest, entry, source)
        self._write(dest, entries=[asdict(e) for e in [*entries, entry]])
        self._prune(dest)
        return entry

    async def keep_tree(self, dest: str, task: str, *, path: str) -> Entry:
        """Remember that the tree before now lies at `path` (a sibling of `dest`); "" = there was none."""
        # one tree is kept, so one entry speaks of a tree
        entries = [known for known in self.entries(dest) if not known.tree or known.task == task]
        mine = next((known for known in entries if known.task == task and known.kind == PREVIOUS), None)
        entry = mine or Entry(
            id=max((known.id for known in entries), default=0) + 1,
            kind=PREVIOUS,
            task=task,
            at=self._frame.time.now(),
            absent=not path,
            tree=path,
        )
        self._write(dest, entries=[asdict(e) for e in [*(e for e in entries if e is not mine), entry]])
        return entry

    async def _store(self, dest: str, entry: Entry, source: int) -> None:
        folder = private_dir(self._folder(dest))
        path = folder / str(entry.id)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # of a run that died before its entry was written
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            await copy_file(source, fd, hashed=False)
            await sync_file(fd)
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(fd)
        sync_dir(folder)

    def remove(self, dest: str, entry: Entry) -> None:
        """The stack without `entry`; done twice it is still gone."""
        self._write(dest, entries=[asdict(e) for e in self.entries(dest) if e.id != entry.id])
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path_of(dest, entry))

    def _prune(self, dest: str) -> None:
        """The newest few of this path, and in all no more than the node's bound; the newest entry of a path always stays."""
        settings = self._frame.settings
        for kind in (PREVIOUS, UNDONE):
            entries = [entry for entry in self.entries(dest) if entry.kind == kind]
            for entry in entries[: -max(1, settings.backup_keep)]:
                self.remove(dest, entry)
        over = sum(size for _, size, _ in self._contents()) - settings.backup_max_bytes
        for _, size, path in sorted(self._contents()):
            if over <= 0:
                return
            with contextlib.suppress(OSError, ValueError, KeyError):
                other = str(json.loads((path.parent / "index.json").read_bytes())["dest"])
                old = self.by_id(other, int(path.name))
                if old is not None and old != self.newest(other):
                    self.remove(other, old)
                    over -= size

    def _contents(self) -> Iterator[tuple[float, int, Path]]:
        """(time, bytes, path) of every kept content."""
        for path in self._root.glob("*/[0-9]*"):
            with contextlib.suppress(OSError):
                found = path.stat()
                yield found.st_mtime, found.st_size, path
