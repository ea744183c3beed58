"""`corral login`: remember a server and an API token for later commands."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

import click

from corral.cli import exits
from corral.cli.options import verb
from corral.cli.output.units import show_time
from corral.cli.session import Session, interactive
from corral.domain.errors import Invalid
from corral.sdk.context import Context, find_context, save_context
from corral.sdk.models import parse_time


@verb(
    None,
    "login",
    formats=False,
    examples=(
        "corral login --url https://corral.example.com:8443 --ca ca.pem     (asks for the token)",
        "corral login --url https://corral.example.com:8443 --token-file token.txt",
        "corral login --link                                                (for the browser)",
        "pass show corral | corral login --url https://corral.example.com:8443 --token-file -",
    ),
)
@click.option("--link", is_flag=True, help="Print a one-time link that logs a browser in; store nothing.")
@click.option("--no-check", is_flag=True, help="Store it without asking the server.")
async def command(session: Session, link: bool, no_check: bool) -> int:
    """Remember a server and an API token in ~/.config/corral/local.json (readable by you alone)."""
    if link:
        async with session.connect() as fleet:
            code = await fleet.system.login_code()
        session.note(f"good once, until {show_time(parse_time(code.get('expires_at')))}:")
        session.out(f"{session.context().url}{code['path']}")
        return exits.OK
    context = session.context()
    token = context.token if session.token_file is not None else None
    if token is None and "CORRAL_TOKEN" in context.origin.get("token", ""):
        token = context.token
    if token is None:
        if not interactive():
            raise Invalid(
                "cannot log in: no token was given", element="token-file", hint="--token-file FILE, or - for stdin"
            )
        token = getpass.getpass(f"API token for {context.url}: ", stream=sys.stderr).strip()
    if not token:
        raise Invalid("cannot log in with an empty token", element="token-file")
    name = "unchecked"
    if not no_check:
        from corral.sdk.fleet import Fleet

        async with Fleet(Context(url=context.url, token=token, ca=context.ca)) as fleet:
            name = str((await fleet.system.whoami()).get("name", "?"))
    # Stored for any working directory.
    path = save_context(context.url, token, ca=str(Path(context.ca).absolute()) if context.ca else None)
    session.note(f"logged in to {context.url} as {name}; stored in {path}")
    used = find_context().file
    if used is not None and used != path:
        session.note(f"note: in this directory {used} comes first")
    return exits.OK
