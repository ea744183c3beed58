"""`corral user …`: the people who use this server, their passwords and sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from corral.cli import exits
from corral.cli.commands import user_token
from corral.cli.options import HELP, verb
from corral.cli.output.table import render
from corral.cli.output.units import show_time
from corral.cli.passwords import ask_new_password, ask_password
from corral.cli.session import Session, interactive
from corral.domain.errors import Invalid
from corral.sdk.context import save_session
from corral.sdk.models import parse_time

command = click.Group(
    "user",
    context_settings=HELP,
    help="Users: create, list, show, set, delete, passwd, invite, sessions, end-session, token.",
)
command.add_command(user_token.command)
Row = Mapping[str, Any]


@verb(
    command,
    "create",
    examples=(
        "corral user create ada --role operator              (asks for a first password; she has to change it)",
        "corral user create ada --role viewer --invite       (prints a code with which she chooses one)",
        "pass show ada | corral user create ada --password-stdin",
    ),
)
@click.argument("name")
@click.option("--role", "roles", metavar="ROLE", multiple=True, help="Grant this role on every node (may be repeated).")
@click.option("--display-name", metavar="TEXT", default="", help="The full name.")
@click.option("--email", metavar="ADDRESS", default="", help="Where to reach them.")
@click.option("--password-stdin", is_flag=True, help="Read the first password from stdin.")
@click.option(
    "--invite", is_flag=True, help="No password: print a one-time code instead (the default where nobody can be asked)."
)
async def create(
    session: Session,
    name: str,
    roles: Sequence[str],
    display_name: str,
    email: str,
    password_stdin: bool,
    invite: bool,
) -> None:
    """Make a user. The first of all is an admin unless you name a role; for a role on some nodes: corral role grant."""
    if invite and password_stdin:
        raise Invalid("cannot do both: --invite and --password-stdin", element="invite")
    password = None
    if password_stdin or (not invite and interactive()):
        password = ask_new_password(f"of {name}", from_stdin=password_stdin)
    async with session.connect() as fleet:
        made = await fleet.users.create(name, password=password, roles=roles, display_name=display_name, email=email)
        url = fleet.context.url
    _show_invited(session, made, url)


@verb(command, "list", examples=("corral user list", "corral user list -o name"))
async def list_users(session: Session) -> None:
    """Everybody, by name."""
    async with session.connect() as fleet:
        users = await fleet.users.list()

    def table(wide: bool) -> str:
        headers = ["NAME", "STATE", "SOURCE", "LAST LOGIN", "DISPLAY NAME"] + (
            ["EMAIL", "ID", "GROUPS"] if wide else []
        )
        lines: list[list[object]] = [
            [user["name"], _state(user), user["source"], _when(user["last_login_at"]), user["display_name"]]
            + ([user["email"], user["id"], ",".join(user["groups"])] if wide else [])
            for user in users
        ]
        return render(headers, lines, columns=session.columns()) if lines else "no users: corral user create NAME"

    session.show(users, names=[str(user["name"]) for user in users], table=table)


@verb(command, "show", examples=("corral user show ada", "corral user show ada -o json"))
@click.argument("name")
async def show(session: Session, name: str) -> None:
    """One user. What they may do: corral can-i --list --as NAME, corral role grants."""
    async with session.connect() as fleet:
        _show(session, await fleet.users.show(name))


@verb(
    command,
    "set",
    examples=(
        "corral user set ada --display-name 'Ada Lovelace' --email ada@example.org",
        "corral user set ada --disable      (ends all access at once)",
        "corral user set ada --enable",
    ),
)
@click.argument("name")
@click.option("--display-name", metavar="TEXT", help="The full name.")
@click.option("--email", metavar="ADDRESS", help="Where to reach them.")
@click.option("--disable/--enable", "disabled", default=None, help="Whether they may log in.")
async def set_user(
    session: Session, name: str, display_name: str | None, email: str | None, disabled: bool | None
) -> None:
    """Change a user. The name itself stays: grants and the audit record speak of it."""
    given = {"display_name": display_name, "email": email, "disabled": disabled}
    fields = {key: value for key, value in given.items() if value is not None}
    if not fields:
        raise Invalid("cannot change nothing", element="user", hint="--display-name, --email, --disable or --enable")
    async with session.connect() as fleet:
        _show(session, await fleet.users.change(name, **fields))


@verb(command, "delete", formats=False, confirms=True, examples=("corral user delete ada",))
@click.argument("name")
async def delete(session: Session, name: str) -> int:
    """Delete a user with sessions, API tokens and grants. What they did stays in the audit record."""
    session.confirm(f"delete user {name} with sessions, API tokens and grants?")
    async with session.connect() as fleet:
        await fleet.users.delete(name)
    session.note(f"{name}: deleted")
    return exits.OK


@verb(
    command,
    "passwd",
    formats=False,
    examples=(
        "corral user passwd           (your own; asks for the old one)",
        "corral user passwd ada       (somebody else's, who then has to choose another)",
        "pass show ada | corral user passwd ada --password-stdin",
    ),
)
@click.argument("name", required=False)
@click.option(
    "--password-stdin",
    is_flag=True,
    help="Read it from stdin; for your own: the old one, then the new one, a line each.",
)
async def passwd(session: Session, name: str | None, password_stdin: bool) -> int:
    """Set a password. All sessions it had end."""
    async with session.connect() as fleet:
        if name is not None:
            await fleet.users.reset_password(name, ask_new_password(f"of {name}", from_stdin=password_stdin))
            session.note(f"{name}: password set; all sessions ended; they have to choose another at the next login")
            return exits.OK
        old = ask_password("Your password until now", from_stdin=password_stdin)
        issued = await fleet.me.change_password(old, ask_new_password("for you", from_stdin=password_stdin))
        if fleet.context.session:
            save_session(fleet.context.url, issued, ca=fleet.context.ca, path=fleet.context.file)
    session.note("password changed; all other sessions ended")
    return exits.OK


@verb(command, "invite", examples=("corral user invite ada",))
@click.argument("name")
async def invite(session: Session, name: str) -> None:
    """A one-time code with which they choose a password; the one they have ends."""
    async with session.connect() as fleet:
        made = await fleet.users.invite(name)
        url = fleet.context.url
    _show_invited(session, made, url)


@verb(
    command,
    "sessions",
    examples=("corral user sessions        (your own)", "corral user sessions ada", "corral user sessions --all"),
)
@click.argument("name", required=False)
@click.option("--all", "everybody", is_flag=True, help="Everybody's.")
async def sessions(session: Session, name: str | None, everybody: bool) -> None:
    """Who is logged in, how and from where."""
    async with session.connect() as fleet:
        if name is None and not everybody:
            found = await fleet.me.sessions()
        else:
            found = await fleet.users.sessions(name)

    def table(wide: bool) -> str:
        lines: list[list[object]] = [
            [
                row["id"] + (" *" if row["current"] else ""),
                row["name"],
                row["method"],
                row["address"],
                _when(row["created_at"]),
                _when(row["expires_at"]),
            ]
            for row in found
        ]
        headers = ["SESSION", "NAME", "BY", "FROM", "SINCE", "UNTIL"]
        return render(headers, lines, columns=session.columns()) if lines else "nobody is logged in"

    session.show(found, names=[str(row["id"]) for row in found], table=table)


@verb(command, "end-session", formats=False, examples=("corral user end-session S01ABC…",))
@click.argument("id")
@click.option("--any", "anybody", is_flag=True, help="Also somebody else's.")
async def end_session(session: Session, id: str, anybody: bool) -> int:
    """Log a session out, at once: one of your own, or with --any somebody else's."""
    async with session.connect() as fleet:
        await (fleet.users.end_session(id) if anybody else fleet.me.end_session(id))
    session.note(f"{id}: ended")
    return exits.OK


def _show_invited(session: Session, user: Row, url: str) -> None:
    code = user.get("invite")
    if code:
        until = show_time(parse_time(user.get("invite_expires_at")))
        session.note(f"invitation, good once, until {until}; {user['name']} types:")
        session.note(f"  corral login --url {url} --invite {code}")
    _show(session, user)


def _show(session: Session, user: Row) -> None:
    def table(wide: bool) -> str:
        rows = [
            ("name", user["name"]),
            ("display name", user["display_name"]),
            ("email", user["email"]),
            ("state", _state(user)),
            ("source", user["source"]),
            ("groups", ", ".join(user["groups"])),
            ("last login", _when(user["last_login_at"])),
            ("id", user["id"]),
        ]
        return "\n".join(f"{label:<13}{value}" for label, value in rows if value)

    session.show(dict(user), names=[str(user.get("invite") or user["name"])], table=table)


def _state(user: Row) -> str:
    if user["disabled"]:
        return "disabled"
    if user["invited"]:
        return "invited"
    return "must change password" if user["must_change"] else "active"


def _when(text: str | None) -> str:
    return show_time(parse_time(text)) if text else "never"
