"""`corral file …`: put files on nodes and get them back, with a history to go back to."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Final

import click

from corral.cli import exits
from corral.cli.commands.exec import show_accepted
from corral.cli.filetask import ask_if_many, known_as, limits, owner_and_mode, run_task, safety
from corral.cli.options import HELP, Size, verb
from corral.cli.session import Session
from corral.domain.errors import Denied, Invalid

DIFF_LINES: Final = 400
FETCH_MAX_BYTES: Final = 4 << 30
EXIT_HELP: Final = (
    "Exit: 0 all succeeded · 124 timed out · 1 otherwise · 2 usage · 3 nobody matched · 4 no server · 5 denied"
)

command = click.Group(
    "file", context_settings=HELP, help="Put files on nodes, look at them, fetch them, go back to what was."
)


@verb(
    command,
    "apply",
    confirms=True,
    examples=(
        "corral file apply --src app.conf --dest /etc/app.conf -t web-* --notify 'systemctl reload app'",
        "corral file apply --src sudoers --dest /etc/sudoers -t all --validate 'visudo -cf %s'",
        "corral file apply --src motd --dest /etc/motd -t all --diff",
        "corral file apply --src app.conf.tmpl --dest '/srv/{{ node.id }}/app.conf' -t all --template --owner app:app --mode 0640",
        "corral file apply --src ./site/ --dest /var/www/site -t web-* --concurrency 10",
        "",
        "A template knows {{ node.id }}, {{ labels.NAME }} and {{ facts.NAME }}; anything else in it fails.",
        EXIT_HELP,
    ),
    short_help="Put a file, or a directory, on the nodes a selector picks.",
)
@click.option("--src", required=True, metavar="FILE|DIR", help="What to ship. A directory travels as an archive.")
@click.option("--dest", required=True, metavar="PATH", help="Where to, on each node.")
@click.option("--source-path", metavar="NAME", help="The name its history is kept under (default: the path of --src).")
@click.option("--sha256", metavar="HEX", help="Ship nothing unless the file has this digest.")
@owner_and_mode
@safety
@click.option("--template", is_flag=True, help="Fill in {{ … }} on each node.")
@click.option(
    "--archive", type=click.Choice(["tar", "zip"]), help="--src is (or becomes) this archive; unpack it at --dest."
)
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.option("--diff", is_flag=True, help="Only show what would change, nodes with the same diff together.")
@click.option("--bandwidth", type=Size(), help="At most so many bytes a second per node, e.g. 10MiB.")
@click.option("--job-bandwidth", type=Size(), help="At most so many in all, shared by the nodes that run at once.")
@limits
async def apply(
    session: Session,
    src: str,
    source_path: str | None,
    sha256: str | None,
    archive: str | None,
    dry_run: bool,
    diff: bool,
    template: bool,
    everyone: bool,
    detach: bool,
    **rest: Any,
) -> int:
    """Put a file, or a directory, on the nodes a selector picks. It is replaced as a whole or not at all, and left alone where
    it is already as asked for; what was there is kept (file rollback --previous)."""
    from corral.sdk.files import FileTask

    async with session.connect() as fleet:
        with contextlib.suppress(Denied):
            # A selector that is wrong or hits nobody is said before anything is uploaded.
            await fleet.nodes.resolve(rest["target"])
        revision = await _uploaded(
            session, fleet, src, source_path=source_path, sha256=sha256, archive=archive, mode=rest["mode"]
        )
        task = FileTask(
            op="apply",
            source=revision.source_path,
            revision=revision.revision,
            dry_run=True if dry_run or diff else None,
            diff=diff or None,
            template=template or None,
            **rest,
        )
        status = await run_task(
            session, fleet, task, everyone=everyone, detach=detach, lines=DIFF_LINES if diff else 20
        )
        if (dry_run or diff) and not detach:
            session.note("nothing was changed: this only looked")
        return status


async def _uploaded(session: Session, fleet: Any, src: str, **options: Any) -> Any:
    import sys

    from corral.cli.output.files import TransferBar, short
    from corral.cli.output.units import show_size
    from corral.cli.session import is_terminal

    bar = TransferBar(sys.stderr, session.clock, enabled=session.talks and is_terminal(sys.stderr))
    try:
        revision = await fleet.files.upload(src, progress=bar, **options)
    finally:
        bar.wipe()
    session.note(
        f"{revision.source_path} r{revision.revision}: {show_size(revision.size)}, sha256 {short(revision.digest)}"
    )
    return revision


@verb(
    command,
    "fetch",
    confirms=True,
    examples=(
        "corral file fetch --path /etc/os-release -t all --to ./collected",
        "corral file fetch --path /var/log/app.log -t web-1 --to . --max-output 1GiB",
        "",
        "Saved as DIR/<node>/<name>, checked against the SHA-256 the node reported.",
        EXIT_HELP,
    ),
    short_help="Get a file from each node.",
)
@click.option("--path", "dest", required=True, metavar="PATH", help="The file on each node.")
@click.option("--to", "folder", required=True, metavar="DIR", help="Where to put what comes.")
@click.option("--max-output", type=Size(), default=FETCH_MAX_BYTES, help="Largest file that may come (default 4GiB).")
@click.option("--bandwidth", type=Size(), help="At most so many bytes a second per node.")
@limits
async def fetch(session: Session, folder: str, everyone: bool, detach: bool, **rest: Any) -> int:
    """Get a file from each node."""
    from corral.cli import fetch as fetching
    from corral.sdk.files import FileTask

    async with session.connect() as fleet:
        task = FileTask(op="fetch", **rest)
        await ask_if_many(session, fleet, task)
        handle = await fleet.files.submit(task)
        if detach:
            show_accepted(session, handle.job)
            return exits.OK
        return await fetching.fetch(session, fleet, handle, Path(folder), everyone=everyone)


@verb(
    command,
    "preview",
    examples=("corral file preview --path /etc/hosts -t all", "corral file preview --path /etc -t web-1"),
    short_help="Show the beginning of a file, or what is in a directory, on each node.",
)
@click.option("--path", "dest", required=True, metavar="PATH", help="The file or directory on each node.")
@limits
async def preview(session: Session, everyone: bool, detach: bool, **rest: Any) -> int:
    """Show the beginning of a file, or what is in a directory, on each node; nodes that have the same are shown together."""
    from corral.sdk.files import FileTask

    async with session.connect() as fleet:
        return await run_task(
            session, fleet, FileTask(op="preview", **rest), everyone=everyone, detach=detach, lines=DIFF_LINES
        )


@verb(
    command,
    "copy",
    confirms=True,
    examples=("corral file copy --src /etc/app.conf --dest /etc/app.conf.bak -t web-*",),
    short_help="Copy a file on each node.",
)
@click.option("--src", "source", required=True, metavar="PATH", help="The file, on each node.")
@click.option("--dest", required=True, metavar="PATH", help="Where to, on the same node.")
@owner_and_mode
@safety
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@limits
async def copy(session: Session, dry_run: bool, everyone: bool, detach: bool, **rest: Any) -> int:
    """Copy a file on each node, under the same rules as apply."""
    from corral.sdk.files import FileTask

    async with session.connect() as fleet:
        task = FileTask(op="copy", dry_run=dry_run or None, **rest)
        return await run_task(session, fleet, task, everyone=everyone, detach=detach)


@verb(
    command,
    "delete",
    confirms=True,
    examples=(
        "corral file delete --path /etc/app.conf.old -t web-*",
        "corral file delete --path /var/tmp/build -t ci-* --recursive",
    ),
    short_help="Delete a file on each node.",
)
@click.option("--path", "dest", required=True, metavar="PATH", help="The file on each node.")
@click.option("--recursive", is_flag=True, help="A directory and all that is in it.")
@click.option("--backup/--no-backup", default=None, help="Keep what was there for a rollback (default: yes).")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@limits
async def delete(session: Session, recursive: bool, dry_run: bool, everyone: bool, detach: bool, **rest: Any) -> int:
    """Delete a file on each node. Where it is not there nothing changes."""
    from corral.sdk.files import FileTask

    async with session.connect() as fleet:
        task = FileTask(op="delete", recursive=recursive or None, dry_run=dry_run or None, **rest)
        return await run_task(session, fleet, task, everyone=everyone, detach=detach)


@verb(
    command,
    "rollback",
    confirms=True,
    examples=(
        "corral file rollback --source-path nginx.conf --revision 3 --dest /etc/nginx/nginx.conf -t web-*",
        "corral file rollback --previous --dest /etc/nginx/nginx.conf -t web-*",
        EXIT_HELP,
    ),
    short_help="Go back to an earlier revision, or to what each node had before.",
)
@click.option("--dest", required=True, metavar="PATH", help="The file on each node.")
@click.option("--source-path", metavar="NAME", help="The artifact.")
@click.option("--revision", type=click.IntRange(min=1), metavar="N", help="Which revision of it.")
@click.option("--previous", is_flag=True, help="Each node to its own state before the last change of --dest.")
@owner_and_mode
@safety
@click.option("--template", is_flag=True, help="The revision is a template.")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@limits
async def rollback(
    session: Session,
    source_path: str | None,
    revision: int | None,
    previous: bool,
    template: bool,
    dry_run: bool,
    everyone: bool,
    detach: bool,
    **rest: Any,
) -> int:
    """Go back to an earlier revision, or to what each node had before."""
    from corral.sdk.files import FileTask

    if previous == bool(source_path or revision) or (not previous and not (source_path and revision)):
        raise Invalid(
            "cannot roll back: expected --source-path and --revision, or --previous",
            element="revision",
            hint="corral file history --source-path NAME shows the revisions",
        )
    async with session.connect() as fleet:
        what: dict[str, Any] = {"op": "rollback"}
        if source_path:
            found = await known_as(fleet, source_path)
            what = {"op": "apply", "source": found, "revision": revision, "template": template or None}
        task = FileTask(dry_run=dry_run or None, **what, **rest)
        return await run_task(session, fleet, task, everyone=everyone, detach=detach)


@verb(
    command,
    "history",
    examples=("corral file history --source-path nginx.conf", "corral file history --source-path nginx.conf -o json"),
    short_help="The revisions of a file, the newest first.",
)
@click.option("--source-path", required=True, metavar="NAME", help="The artifact (or the path it was applied from).")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most this many.")
async def history(session: Session, source_path: str, limit: int) -> None:
    """The revisions of a file, the newest first."""
    async with session.connect() as fleet:
        found = await fleet.files.history(await known_as(fleet, source_path), limit=limit)
    _show_revisions(session, found, paths=False, empty="no revisions")


@verb(
    command,
    "where",
    examples=(
        "corral file where --source-path nginx.conf",
        "corral file where --source-path nginx.conf --revision 3 -o name",
    ),
    short_help="Which nodes have which revision of a file now.",
)
@click.option("--source-path", required=True, metavar="NAME", help="The artifact (or the path it was applied from).")
@click.option("--revision", type=click.IntRange(min=1), help="Only this revision.")
async def where(session: Session, source_path: str, revision: int | None) -> None:
    """Which nodes have which revision of a file now, as Corral last put it there; -o wide names every node."""
    from corral.cli.output.files import WHERE_HEADERS, where_rows
    from corral.cli.output.table import render

    async with session.connect() as fleet:
        found = await fleet.files.where(await known_as(fleet, source_path), revision=revision or 0)
    now = session.clock.now()

    def table(wide: bool) -> str:
        if not found:
            return "on no node"
        return render(WHERE_HEADERS, where_rows(found, now, wide=wide), columns=None if wide else session.columns())

    session.show(found, names=sorted({entry["node"] for entry in found}), table=table)


@verb(
    command,
    "list",
    examples=("corral file list", "corral file list -o name"),
    short_help="The artifacts, each with its newest revision.",
)
@click.option("--limit", type=click.IntRange(min=1), default=200, show_default=True, help="At most this many.")
async def list_files(session: Session, limit: int) -> None:
    """The artifacts, each with its newest revision."""
    async with session.connect() as fleet:
        found = await fleet.files.list(limit=limit)
    _show_revisions(session, found, paths=True, empty="no artifacts")


def _show_revisions(session: Session, found: Any, *, paths: bool, empty: str) -> None:
    from corral.cli.output.files import headers, revision_rows
    from corral.cli.output.table import render

    now = session.clock.now()

    def table(wide: bool) -> str:
        rows = revision_rows(found, now, paths=paths, wide=wide)
        return render(headers(paths=paths), rows, columns=session.columns()) if rows else empty

    names = [item.source_path if paths else str(item.revision) for item in found]
    session.show([dict(item.raw) for item in found], names=names, table=table)


@verb(
    command,
    "diff",
    examples=("corral file diff --source-path nginx.conf", "corral file diff --source-path nginx.conf --from 2 --to 5"),
    short_help="How two revisions differ.",
)
@click.option("--source-path", required=True, metavar="NAME", help="The artifact.")
@click.option("--from", "old", type=click.IntRange(min=1), metavar="N", help="Default: the one before --to.")
@click.option("--to", "new", type=click.IntRange(min=1), metavar="N", help="Default: the newest.")
async def diff_revisions(session: Session, source_path: str, old: int | None, new: int | None) -> None:
    """How two revisions differ. What nodes have is compared by `file apply --diff`."""
    from corral.cli.output.terminal import clean

    async with session.connect() as fleet:
        found = await fleet.files.diff(await known_as(fleet, source_path), old=old or 0, new=new or 0)

    def table(wide: bool) -> str:
        first, second = (f"r{found[side]['revision']}" for side in ("old", "new"))
        if found["same"]:
            return f"{first} and {second} are the same"
        if found["binary"]:
            return f"{first} and {second} differ (binary, or too large to be shown)"
        return clean(found["text"].removesuffix("\n"), colour=False)

    session.show(found, names=[], table=table)


@verb(
    command,
    "clear",
    confirms=True,
    examples=(
        "corral file clear --keep 5",
        "corral file clear --source-path nginx.conf --keep 1",
        "corral file clear --unused",
    ),
    short_help="Remove old revisions from the server.",
)
@click.option("--source-path", metavar="NAME", help="Only of this artifact.")
@click.option("--keep", type=click.IntRange(min=0), metavar="N", help="All but the newest N of each artifact.")
@click.option("--unused", is_flag=True, help="What no job ever applied.")
async def clear(session: Session, source_path: str | None, keep: int | None, unused: bool) -> None:
    """Remove old revisions from the server. Nothing is removed while an open job needs one of them."""
    from corral.cli.output.grouping import count

    if keep is None and not unused:
        raise Invalid("cannot clear: say what", element="keep", hint="--keep N, or --unused")
    async with session.connect() as fleet:
        name = None if source_path is None else await known_as(fleet, source_path)
        session.confirm("Remove old revisions for good?")
        gone = await fleet.files.clear(source_path=name, keep=keep, unused=unused)
    session.show(
        {"removed": [dict(item.raw) for item in gone]},
        names=[f"{item.source_path} {item.revision}" for item in gone],
        table=lambda wide: f"{count(len(gone), 'revision')} removed",
    )
