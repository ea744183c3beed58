"""What the verbs of `corral file` share: the options of a file task, and its way from submission to exit status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from corral.cli import exits
from corral.cli.commands.exec import ASK_ABOVE_NODES, show_accepted
from corral.cli.options import Duration, target
from corral.cli.session import Session, interactive
from corral.domain.errors import Invalid, NotFound


def limits(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options every file task shares with `exec run`."""
    options = (
        target(required=True, help="Which nodes (corral exec run --help says how)."),
        click.option("--name", help="A name to find the job by."),
        click.option("--timeout", type=Duration(), help="Stop after this long (default 5m)."),
        click.option("--concurrency", type=click.IntRange(min=1), metavar="N", help="At most N nodes at once."),
        click.option("--offline", type=click.Choice(["queue", "skip"]), help="Offline nodes: when back, or leave out."),
        click.option("--expires", type=Duration(), help="How long a queued task stays valid (default 1h)."),
        click.option("--retry", "retries", type=click.IntRange(min=0), metavar="N", help="Try again up to N times."),
        click.option("--wait", "everyone", is_flag=True, help="Wait for offline nodes too."),
        click.option("--detach", is_flag=True, help="Do not wait; print the job id."),
    )
    for option in reversed(options):
        function = option(function)
    return function


async def run_task(session: Session, fleet: Any, task: Any, *, everyone: bool, detach: bool, lines: int = 20) -> int:
    """Submit, watch, and say how it ended, as `exec run` does."""
    from corral.cli.watch import Watch

    await ask_if_many(session, fleet, task)
    handle = await fleet.files.submit(task)
    if detach:
        show_accepted(session, handle.job)
        return exits.OK
    return await Watch(session, handle, everyone=everyone, live=False, lines_shown=lines).run()


async def ask_if_many(session: Session, fleet: Any, task: Any) -> None:
    if interactive() and not session.yes:
        preview = await fleet.jobs.preview(task)
        if len(preview.nodes) > ASK_ABOVE_NODES:
            session.confirm(f"Do this on {len(preview.nodes)} nodes ({len(preview.offline)} offline)?")


def owner_and_mode(function: Callable[..., Any]) -> Callable[..., Any]:
    function = click.option("--mode", metavar="0644", help="Permissions (default: as they are, 0644 when new).")(
        function
    )
    return click.option("--owner", metavar="USER[:GROUP]", help="Owner (default: as it is).")(function)


def safety(function: Callable[..., Any]) -> Callable[..., Any]:
    options = (
        click.option("--backup/--no-backup", default=None, help="Keep what was there for a rollback (default: yes)."),
        click.option("--validate", metavar="CMD", help="Must succeed on the new file (%s) before it takes its place."),
        click.option("--notify", metavar="CMD", help="Run this afterwards where something changed."),
    )
    for option in reversed(options):
        function = option(function)
    return function


async def known_as(fleet: Any, source_path: str) -> str:
    """The artifact a person means: its name as given, or what `file apply --src` made of that path."""
    from corral.sdk.files import artifact_name

    try:
        await fleet.files.history(source_path, limit=1)
        return source_path
    except (NotFound, Invalid) as error:
        absolute = artifact_name(source_path)
        if absolute == source_path:
            raise
        try:
            await fleet.files.history(absolute, limit=1)
        except NotFound:
            raise error from None
        return absolute
