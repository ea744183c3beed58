"""`corral connection …`: where databases, clusters and services are, by name."""

from __future__ import annotations

from typing import Any

import click

from corral.cli import exits
from corral.cli.options import HELP, verb
from corral.cli.output.table import render
from corral.cli.session import Session
from corral.domain.connection import ENGINES
from corral.domain.errors import Invalid

command = click.Group(
    "connection", context_settings=HELP, help="Named connections to databases and clusters: set, list, show, delete."
)


def _pairs(pairs: tuple[str, ...], element: str) -> dict[str, str]:
    out = {}
    for pair in pairs:
        key, eq, value = pair.partition("=")
        if not eq or not key:
            raise Invalid(
                f"cannot read {pair!r}: expected NAME=VALUE", element=element, hint=f"--{element} mode=verify"
            )
        out[key] = value
    return out


@verb(
    command,
    "set",
    examples=(
        "corral connection set shop-db --engine postgres --host db-1 --database shop --user app --password-secret shop.db.password",
        "corral connection set search --engine elasticsearch --host es-1 --port 9200 --tls mode=verify --tls ca=/etc/ssl/es.pem",
        "corral connection set k8s --engine kubernetes --host 10.0.0.1 --port 6443 --password-secret k8s.token -t ops-1",
    ),
    short_help="Make a connection, or replace it.",
)
@click.argument("name")
@click.option("--engine", type=click.Choice(ENGINES), required=True, help="What answers there.")
@click.option("--host", metavar="HOST", help="As the node sees it.")
@click.option("--port", type=int, metavar="N", help="Default: the engine's own.")
@click.option("--database", metavar="NAME", help="Which database, or namespace.")
@click.option("--user", metavar="NAME", help="As whom.")
@click.option("--password-secret", metavar="SECRET", help="The secret that holds the password or token.")
@click.option("--tls", multiple=True, metavar="K=V", help="mode=off|prefer|require|verify, ca=, cert=, key= (repeat).")
@click.option("--option", "options", multiple=True, metavar="K=V", help="What the engine's executor knows (repeat).")
@click.option(
    "-t", "--target", "selector", metavar="SEL", help="Nodes that may use it (ids, labels, groups; default all)."
)
@click.option("--description", metavar="TEXT", help="What it is for.")
@click.option(
    "--if-match", type=int, metavar="VERSION", help="Only when it is at this version; 0: only when it is new."
)
async def set_connection(
    session: Session,
    name: str,
    tls: tuple[str, ...],
    options: tuple[str, ...],
    if_match: int | None,
    **fields: Any,
) -> None:
    """Make a connection, or replace it. It holds no password: that is a secret, which the node gets with the task."""
    parts = {"tls": _pairs(tls, "tls") or None, "options": _pairs(options, "option") or None}
    async with session.connect() as fleet:
        stored = await fleet.connections.set(name, if_match=if_match, **fields, **parts)
    session.show(dict(stored), names=[name], table=lambda wide: f"{name}: {_where(stored)}")


def _where(connection: Any) -> str:
    place = connection["host"] + (f":{connection['port']}" if connection["port"] else "")
    place += f"/{connection['database']}" if connection["database"] else ""
    return f"{connection['engine']} {connection['user'] + '@' if connection['user'] else ''}{place or 'localhost'}"


@verb(command, "list", examples=("corral connection list", "corral connection list -o name"), short_help="All of them.")
async def list_connections(session: Session) -> None:
    """All named connections."""
    async with session.connect() as fleet:
        found = await fleet.connections.list()

    def table(wide: bool) -> str:
        if not found:
            return "no connections; corral connection set NAME makes one"
        rows: list[list[object]] = [
            [item["name"], _where(item), item["password_secret"] or "-", item["selector"], item["description"]]
            for item in found
        ]
        return render(["CONNECTION", "WHERE", "SECRET", "FOR", "DESCRIPTION"], rows, columns=session.columns())

    session.show([dict(item) for item in found], names=[str(item["name"]) for item in found], table=table)


@verb(command, "show", examples=("corral connection show shop-db", "corral connection show shop-db -o json"))
@click.argument("name")
async def show(session: Session, name: str) -> None:
    """One connection, every field of it."""
    async with session.connect() as fleet:
        found = await fleet.connections.show(name)
    width = max(map(len, found))
    session.show(
        dict(found),
        names=[name],
        table=lambda wide: "\n".join(
            f"{key:<{width}}  {value}" for key, value in found.items() if value not in ("", {}, None)
        ),
    )


@verb(command, "delete", formats=False, examples=("corral connection delete shop-db",), short_help="Delete one.")
@click.argument("name")
async def delete(session: Session, name: str) -> int:
    """Delete a connection. Tasks that still name it fail and say so."""
    async with session.connect() as fleet:
        await fleet.connections.delete(name)
    session.note(f"{name}: deleted")
    return exits.OK
