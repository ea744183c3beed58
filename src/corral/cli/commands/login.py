"""`corral login`: log in as a user, or remember a server and an API token, for later commands."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from corral.cli import exits
from corral.cli.options import verb
from corral.cli.output.units import show_time
from corral.cli.passwords import ask_new_password, ask_password
from corral.cli.session import Session, interactive
from corral.domain.errors import Invalid
from corral.sdk.context import Context, find_context, save_context, save_session
from corral.sdk.models import parse_time


@verb(
    None,
    "login",
    formats=False,
    examples=(
        "corral login ada --url https://corral.example.com:8443 --ca ca.pem   (asks for the password)",
        "corral login --oidc --url https://corral.example.com:8443            (in the browser)",
        "corral login --invite CODE --url https://corral.example.com:8443     (sets your first password)",
        "corral login --url https://corral.example.com:8443 --token-file t    (an API token, - for stdin)",
        "corral login --link                                                  (logs a browser in)",
    ),
)
@click.argument("name", required=False)
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin.")
@click.option("--oidc", is_flag=True, help="Log in at the identity provider, in your browser.")
@click.option("--invite", metavar="CODE", help="Accept an invitation: you choose your password.")
@click.option("--link", is_flag=True, help="Print a one-time link that logs a browser in; store nothing.")
@click.option("--no-check", is_flag=True, help="Store an API token without asking the server.")
async def command(
    session: Session,
    name: str | None,
    password_stdin: bool,
    oidc: bool,
    invite: str | None,
    link: bool,
    no_check: bool,
) -> int:
    """Log in. The session is kept in ~/.config/corral/local.json, readable by you alone, and renewed by itself."""
    ways = [given for given in (name, oidc, invite, link) if given]
    if len(ways) > 1 or (ways and session.token_file is not None and not link):
        raise Invalid(
            "cannot log in in several ways at once", element="name", hint="give NAME, --oidc, --invite or --link"
        )
    if link:
        return await _link(session)
    context = session.context()
    if oidc:
        from corral.cli.browser_login import browser_login

        return await _keep(session, context, await browser_login(session, context))
    if name is None and invite is None:
        return await _token(session, context, no_check)
    from corral.sdk.users import log_in

    if invite is not None:
        password = ask_new_password("for you", from_stdin=password_stdin)
        return await _keep(session, context, await log_in(context, invite=invite, password=password))
    password = ask_password(f"Password of {name} at {context.url}", from_stdin=password_stdin)
    issued = await log_in(context, name=name or "", password=password)
    return await _keep(session, context, issued, password=password)


async def _keep(session: Session, context: Context, issued: Mapping[str, Any], *, password: str = "") -> int:
    path = save_session(context.url, issued, ca=_ca(context))
    session.note(f"logged in to {context.url} as {issued['name']}; the session is kept in {path}")
    used = find_context().file
    if used is not None and used != path:
        session.note(f"note: in this directory {used} comes first")
    from corral.sdk.fleet import Fleet

    kept = Context(url=context.url, ca=_ca(context), file=path, session=True)
    async with Fleet(kept) as fleet:
        if not (await fleet.system.whoami()).get("must_change"):
            return exits.OK
        if not password or not interactive():
            session.warn("this password was set by somebody else: nothing works until you run: corral user passwd")
            return exits.OK
        session.warn("this password was set by somebody else: choose your own")
        issued = await fleet.me.change_password(password, ask_new_password("for you", from_stdin=False))
    save_session(context.url, issued, ca=_ca(context))
    return exits.OK


async def _link(session: Session) -> int:
    async with session.connect() as fleet:
        code = await fleet.system.login_code()
    session.note(f"good once, until {show_time(parse_time(code.get('expires_at')))}:")
    session.out(f"{session.context().url}{code['path']}")
    return exits.OK


async def _token(session: Session, context: Context, no_check: bool) -> int:
    token = context.token if session.token_file is not None else None
    if token is None and "CORRAL_TOKEN" in context.origin.get("token", ""):
        token = context.token
    if token is None:
        if not interactive():
            raise Invalid(
                "cannot log in: neither a name nor a token was given",
                element="token-file",
                hint="corral login NAME, or --token-file FILE, - for stdin",
            )
        token = getpass.getpass(
            f"API token for {context.url} (corral login NAME for a user): ", stream=sys.stderr
        ).strip()
    if not token:
        raise Invalid("cannot log in with an empty token", element="token-file")
    name = "unchecked"
    if not no_check:
        from corral.sdk.fleet import Fleet

        async with Fleet(Context(url=context.url, token=token, ca=context.ca)) as fleet:
            name = str((await fleet.system.whoami()).get("name", "?"))
    # Stored for any working directory.
    path = save_context(context.url, token, ca=_ca(context))
    session.note(f"logged in to {context.url} as {name}; stored in {path}")
    used = find_context().file
    if used is not None and used != path:
        session.note(f"note: in this directory {used} comes first")
    return exits.OK


def _ca(context: Context) -> str | None:
    return str(Path(context.ca).absolute()) if context.ca else None
