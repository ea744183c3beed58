"""`corral system backup` and `corral system restore`: one file with everything a control plane is."""

from __future__ import annotations

import contextlib
import os
from contextlib import aclosing
from pathlib import Path
from typing import Any

import click

from corral.cli import exits
from corral.cli.commands.on_server import operate
from corral.cli.options import verb
from corral.cli.output.units import show_size
from corral.cli.session import Session
from corral.domain.errors import Conflict, CorralError, Invalid
from corral.runtime.archive import Archive
from corral.runtime.files import sync_dir


@verb(
    None,
    "backup",
    examples=(
        "corral system backup corral-monday.tar",
        "corral system backup corral.tar --offline --config /etc/corral/corral.toml",
    ),
)
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--force", is_flag=True, help="Replace FILE when it exists.")
@click.option("--offline", is_flag=True, help="On the server's machine, while the server is stopped.")
@click.option("--config", metavar="FILE", help="With --offline: the server's configuration.")
@click.option("--data-dir", metavar="DIR", help="With --offline: the server's data directory.")
async def backup(
    session: Session, file: str, force: bool, offline: bool, config: str | None, data_dir: str | None
) -> int:
    """Write database, keys, certificates, configuration and objects to FILE (a tar, readable by you alone).

    The server goes on working meanwhile. With PostgreSQL the database is not in it: dump that beside. Needs system.write.
    """
    target = Path(file).absolute()
    if target.exists() and not force:
        raise Conflict(f"cannot write {str(target)!r}: it exists", element="FILE", hint="another name, or --force")
    if not offline and (config or data_dir):
        raise Invalid(
            "cannot use --config or --data-dir with a running server", element="--offline", hint="add --offline"
        )
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        if offline:
            places: dict[str, Any] = {"config": Path(config) if config else None}
            places["data_dir"] = Path(data_dir) if data_dir else None
            await operate("backup").offline_backup(part, **places)
        else:
            await _fetch(session, part)
        archive = Archive(part)
        sizes = archive.check()  # read back what is on the disk: a backup nobody can read is none
        os.replace(part, target)
        sync_dir(target.parent)
    except OSError as error:
        raise CorralError(f"cannot write {str(target)!r}: {(error.strerror or str(error)).lower()}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
    database = str(archive.header.get("database"))
    size = target.stat().st_size
    data = {"file": str(target), "bytes": size, "files": len(sizes), "header": archive.header}
    text = f"{target}: {show_size(size)}, {len(sizes)} files, checked"
    session.show(data, names=[str(target)], table=lambda wide: text)
    if database != "sqlite":
        session.warn("note: the database is not in it; dump it beside: pg_dump")
    session.note("it holds every key of the fleet: keep it where only you can read it")
    return exits.OK


async def _fetch(session: Session, part: Path) -> None:
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as out:
        async with session.connect() as fleet:
            async with aclosing(fleet.system.backup()) as chunks:
                async for chunk in chunks:
                    out.write(chunk)
        out.flush()
        os.fsync(out.fileno())


@verb(
    None,
    "restore",
    server=False,
    examples=(
        "corral system restore corral-monday.tar",
        "corral system restore corral-monday.tar --data-dir /srv/corral",
    ),
)
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--data-dir", default="/var/lib/corral", metavar="DIR", help="Where to (default /var/lib/corral).")
@click.option("--force", is_flag=True, help="Also into a directory that is not empty: what is there is moved aside.")
async def restore(session: Session, file: str, data_dir: str, force: bool) -> int:
    """Make a data directory as it was when FILE was written. Run it on the server's machine, the server stopped.

    Enrolled nodes come back by themselves when the server has its old address; jobs and nodes newer than FILE are unknown then.
    """
    done = operate("restore").restore(Path(file), Path(data_dir), session.clock, force=force)
    data = {
        "data_dir": str(done.data_dir),
        "made_at": done.made_at,
        "version": done.version,
        "database": done.database,
        "objects": done.objects,
        "aside": str(done.aside) if done.aside else None,
        "notes": list(done.notes),
    }
    start = f"--config {done.config}" if done.config else f"--data-dir {done.data_dir}"
    lines = [f"restored {done.data_dir} as of {done.made_at} (Corral {done.version})"]
    if done.aside is not None:
        lines.append(f"what was there is in {done.aside}")
    lines += [f"note: {note}" for note in done.notes]
    lines.append(f"next: corral server {start}")
    session.show(data, names=[str(done.data_dir)], table=lambda wide: "\n".join(lines))
    return exits.OK
