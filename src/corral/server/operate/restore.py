"""`corral system restore FILE`: a data directory as it was when the backup was made.

The file is read and judged as a whole before anything is written. What is in the way is refused, or with `force` moved aside into
one folder; nothing is deleted. The engine's streams are not in a backup: they are made anew, nodes send again what was not
receipted, and the objects go into the engine when the server starts.
"""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import corral
from corral.domain.errors import Conflict, CorralError, Invalid, Unsupported
from corral.runtime.archive import FORMAT, HEADER, Archive, Damaged
from corral.runtime.clock import Clock
from corral.runtime.files import DirectoryLock, private_dir, sync_dir, write_atomic
from corral.server.compose.backup import RESTORED
from corral.server.infrastructure.sql.migrate import head, scripts
from corral.server.operate.texts import is_untouched, moved

_OURS: Final = (
    "corral.db",
    "corral.db-wal",
    "corral.db-shm",
    "keys",
    "pki",
    "engine",
    "admin.token",
    "corral.toml",
    "audit-head.json",
    RESTORED,
)
_STAGING: Final = ".restore"


@dataclass(frozen=True, kw_only=True)
class Restored:
    """`aside` is where what was in the way is now; None when nothing was."""

    data_dir: Path
    made_at: str
    version: str
    database: str
    objects: int
    aside: Path | None = None
    config: Path | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)


def restore(file: Path, data_dir: Path, clock: Clock, *, force: bool = False) -> Restored:
    """Raises Damaged or Invalid for a bad file, Unsupported for a newer one, Conflict for a directory in use or not empty."""
    archive = Archive(file)
    sizes = archive.check()
    _judge(file, archive.header)
    try:
        return _restore(archive, sizes, data_dir.absolute(), clock, force=force)
    except OSError as error:
        raise CorralError(
            f"cannot restore into {str(data_dir)!r}: {(error.strerror or str(error)).lower()}",
            element=str(error.filename or data_dir),
            hint="is there space, and is it yours to write?",
        ) from None


def _restore(archive: Archive, sizes: dict[str, int], data: Path, clock: Clock, *, force: bool) -> Restored:
    private_dir(data)
    lock = DirectoryLock(data, name="server.lock", what="the data directory")
    lock.acquire()
    try:
        there = [data / name for name in _OURS if (data / name).exists()]
        if there and not force:
            raise Conflict(
                f"cannot restore into {str(data)!r}: it holds {', '.join(path.name for path in there[:4])}",
                element=str(data),
                hint="choose an empty --data-dir, or --force: what is there is moved aside, not deleted",
            )
        _check_space(data, sum(sizes.values()))
        staging = _unpack(archive, sizes, data)
        _check_database(staging / "corral.db")
        aside = _move_aside(there, data, clock)
        config = _place(staging, data, str(archive.header.get("data_dir") or data))
    finally:
        shutil.rmtree(data / _STAGING, ignore_errors=True)
        lock.release()
    return Restored(
        data_dir=data,
        made_at=str(archive.header.get("made_at", "?")),
        version=str(archive.header.get("version", "?")),
        database=str(archive.header.get("database", "?")),
        objects=sum(name.startswith("objects/") for name in sizes),
        aside=aside,
        config=config,
        notes=_notes(archive.header, config),
    )


def _judge(file: Path, header: dict[str, Any]) -> None:
    if header.get("program") != "corral" or not isinstance(header.get("format"), int):
        raise Invalid(f"cannot use {str(file)!r}: it is not a backup of Corral", element=str(file))
    if header["format"] > FORMAT:
        raise Unsupported(
            f"cannot use {str(file)!r}: its format is {header['format']}, this release knows {FORMAT}",
            element=str(file),
            hint=f"use the release that made it: {header.get('version')}",
        )
    schema = header.get("schema")
    if schema not in {script.revision for script in scripts().walk_revisions()}:
        raise Unsupported(
            f"cannot use {str(file)!r}: Corral {header.get('version')} made it with schema {schema!r}, "
            f"this is {corral.__version__} with {head()!r}",
            element=str(file),
            hint="install the release that made it, or a newer one",
        )


def _check_space(data: Path, needed: int) -> None:
    free = shutil.disk_usage(data).free
    if free < needed + (64 << 20):
        raise Conflict(
            f"cannot restore into {str(data)!r}: {needed >> 20} MiB are needed, {free >> 20} MiB are free",
            element=str(data),
            hint="free some space, or choose another --data-dir",
        )


def _unpack(archive: Archive, sizes: dict[str, int], data: Path) -> Path:
    staging = data / _STAGING
    shutil.rmtree(staging, ignore_errors=True)  # of a restore that was killed
    for name in sizes:
        if name == HEADER:
            continue
        target = staging / (f"{RESTORED}/{name.removeprefix('objects/')}" if name.startswith("objects/") else name)
        private_dir(target.parent)
        archive.unpack(name, target)
        if name in ("pki/ca.pem", "pki/server.pem", "pki/engine.pem"):
            target.chmod(0o644)
    return staging


def _check_database(path: Path) -> None:
    if not path.exists():
        return
    connection = sqlite3.connect(path)
    try:
        answer = str(connection.execute("pragma quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        answer = str(error)
    finally:
        connection.close()
    if answer != "ok":
        raise Damaged(f"cannot restore the database: {answer}", element="corral.db", hint="use another backup")


def _move_aside(there: list[Path], data: Path, clock: Clock) -> Path | None:
    if not there:
        return None
    aside = private_dir(data / f"replaced-{clock.now():%Y%m%dT%H%M%S}")
    for path in there:
        path.rename(aside / path.name)
    return aside


def _place(staging: Path, data: Path, old_dir: str) -> Path | None:
    """Everything into place, the configuration last and with this directory's paths. Returns the configuration."""
    config = staging / "corral.toml"
    text = config.read_text() if config.exists() else None
    config.unlink(missing_ok=True)
    for path in sorted(staging.iterdir()):
        path.rename(data / path.name)
    staging.rmdir()
    sync_dir(data)
    if text is None:
        return None
    target = data / "corral.toml"
    write_atomic(target, moved(text, old_dir, str(data)).encode())
    return target


def _notes(header: dict[str, Any], config: Path | None) -> tuple[str, ...]:
    notes = []
    if header.get("database") != "sqlite":
        notes.append("the database is not in this backup: restore PostgreSQL from a dump of the same time")
    if config is not None and not is_untouched(config.read_text()):
        notes.append(
            f"read {config} through: it was edited by hand, and paths outside the data directory are as they were"
        )
    return tuple(notes)
