"""`corral logout`: end the session, and forget what `corral login` remembered."""

from __future__ import annotations

import os
from pathlib import Path

import click

from corral.cli import exits
from corral.cli.options import verb
from corral.cli.session import Session
from corral.domain.errors import CorralError
from corral.sdk.context import USER, Context, find_context, forget_context


@verb(None, "logout", formats=False, server=False, examples=("corral logout", "corral logout --local"))
@click.option("--local", is_flag=True, help="Only forget it here; the session lasts until it expires.")
async def command(session: Session, local: bool) -> int:
    """End the session and remove ~/.config/corral/local.json. An API token stays valid until it expires or is revoked."""
    kept = find_context(env={"HOME": os.environ.get("HOME", "/")}, cwd=Path("/"))
    if kept.session and not local and kept.file == Path.home() / USER:
        await _end(session, kept)
    gone = forget_context()
    session.note(f"removed {gone}" if gone is not None else "nothing to remove: nobody is logged in")
    left = find_context()
    if left.file is not None or left.token is not None:
        session.note(f"note: {left.origin.get('token') or left.file} still names a server here")
    return exits.OK


async def _end(session: Session, context: Context) -> None:
    from corral.sdk.fleet import Fleet

    try:
        async with Fleet(context) as fleet:
            await fleet.me.log_out()
    except CorralError as error:
        session.warn(f"note: the session was not ended at the server: {error.message}")
