"""`corral user token …`: API tokens of your own, for programs that act for you."""

from __future__ import annotations

import click

from corral.cli import exits
from corral.cli.options import HELP, Duration, verb
from corral.cli.output.table import render
from corral.cli.output.units import show_time
from corral.cli.session import Session

command = click.Group(
    "token", context_settings=HELP, help="API tokens of your own: create, list, revoke. They may do what you may."
)


@verb(
    command,
    "create",
    examples=(
        "corral user token create ci --permissions node.read,exec.read --ttl 30d",
        "corral user token create backup -q > token.txt",
    ),
)
@click.argument("name")
@click.option("--permissions", metavar="WORD,...", help="At most these (default: whatever you may do).")
@click.option("--ttl", type=Duration(), help="How long it is valid (default: until revoked).")
async def create(session: Session, name: str, permissions: str | None, ttl: float | None) -> None:
    """Make a token. It is shown once; it can never do more than you can at that moment."""
    words = None if permissions is None else [word.strip() for word in permissions.split(",") if word.strip()]
    async with session.connect() as fleet:
        made = await fleet.me.create_token(name, permissions=words, ttl_seconds=ttl)
    session.note(f"{made.id}: shown this once")
    session.show(dict(made.raw), names=[made.token], table=lambda wide: made.token)


@verb(command, "list", examples=("corral user token list",))
async def list_tokens(session: Session) -> None:
    """Your API tokens, without their secrets."""
    async with session.connect() as fleet:
        tokens = await fleet.me.tokens()

    def table(wide: bool) -> str:
        lines: list[list[object]] = [
            [
                token.id,
                token.name,
                "revoked" if token.revoked else show_time(token.expires_at) if token.expires_at else "never",
                show_time(token.last_used_at) if token.last_used_at else "never",
                ",".join(token.permissions),
            ]
            for token in tokens
        ]
        headers = ["TOKEN", "NAME", "EXPIRES", "LAST USED", "AT MOST"]
        return render(headers, lines, columns=session.columns()) if lines else "no tokens of your own"

    session.show([dict(token.raw) for token in tokens], names=[token.id for token in tokens], table=table)


@verb(command, "revoke", formats=False, examples=("corral user token revoke K06GZSYZ8ZD7PFCPQ1E",))
@click.argument("id")
async def revoke(session: Session, id: str) -> int:
    """Make a token of yours useless, at once, and end the sessions it opened."""
    async with session.connect() as fleet:
        await fleet.me.revoke_token(id)
    session.note(f"{id}: revoked")
    return exits.OK
