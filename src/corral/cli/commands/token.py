"""`corral token …`: the tokens with which nodes enrol."""

from __future__ import annotations

import click

from corral.cli import exits
from corral.cli.options import HELP, Duration, verb
from corral.cli.output.nodes import labels_text
from corral.cli.output.table import render
from corral.cli.output.units import show_time
from corral.cli.session import Session
from corral.domain.errors import Invalid
from corral.domain.node import check_group, parse_labels

command = click.Group("token", context_settings=HELP, help="Join tokens: what a machine needs to enrol.")


@verb(
    command,
    "create",
    examples=(
        "corral token create",
        "corral token create --uses 50 --ttl 1d --labels role=web,env=prod --groups eu",
        "corral token create --node-id web-7 -q",
    ),
)
@click.option("--uses", type=click.IntRange(min=1), metavar="N", help="How many nodes may use it (default 1).")
@click.option("--ttl", type=Duration(), help="How long it is valid (default 1h).")
@click.option("--labels", metavar="K=V,...", help="Labels its nodes get.")
@click.option("--groups", metavar="G,...", help="Groups its nodes get.")
@click.option("--node-id", metavar="ID", help="Only for this node id.")
async def create(
    session: Session, uses: int | None, ttl: float | None, labels: str | None, groups: str | None, node_id: str | None
) -> None:
    """Make a token and print the line to type on the new node. The secret is shown once."""
    merge, gone = parse_labels(labels or "")
    if gone:
        raise Invalid(
            "cannot remove labels of a node that is not there yet", element="labels", hint="--labels role=web"
        )
    names = [name.strip() for name in (groups or "").split(",") if name.strip()]
    for name in names:
        check_group(name)
    async with session.connect() as fleet:
        made = await fleet.tokens.create(uses=uses, ttl_seconds=ttl, labels=merge, groups=names, node_id=node_id)
        url = made.raw.get("server_url") or fleet.context.url
    session.note(f"valid for {made.uses or 1} node(s) until {show_time(made.expires_at)}; on the node, as root:")
    session.note(f"  corral agent enroll --server {url} --token {made.token}")
    session.show(dict(made.raw), names=[made.token], table=lambda wide: made.token)


@verb(command, "list", examples=("corral token list", "corral token list -o json"))
async def list_tokens(session: Session) -> None:
    """Join tokens and how often they may still be used. Secrets are not shown: nobody keeps them."""
    async with session.connect() as fleet:
        tokens = await fleet.tokens.list()

    def table(wide: bool) -> str:
        lines: list[list[object]] = [
            [
                token.id,
                f"{token.used}/{token.uses}",
                "revoked" if token.revoked else show_time(token.expires_at),
                token.node_id or "any",
                labels_text(token.labels),
                ",".join(token.groups),
            ]
            for token in tokens
        ]
        headers = ["TOKEN", "USED", "EXPIRES", "NODE", "LABELS", "GROUPS"]
        return render(headers, lines, columns=session.columns()) if lines else "no join tokens"

    session.show([dict(token.raw) for token in tokens], names=[token.id for token in tokens], table=table)


@verb(command, "revoke", formats=False, examples=("corral token revoke T01ABC",))
@click.argument("token")
async def revoke(session: Session, token: str) -> int:
    """Make a token useless. Nodes that enrolled with it stay."""
    if token.startswith("cj1."):
        token = token.split(".")[1]
    async with session.connect() as fleet:
        await fleet.tokens.revoke(token)
    session.note(f"{token}: revoked")
    return exits.OK
