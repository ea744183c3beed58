"""`corral secret …`: values that tasks may use and nobody reads back."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from corral.cli import exits
from corral.cli.options import HELP, verb
from corral.cli.output.table import render
from corral.cli.output.units import show_time
from corral.cli.session import Session, interactive
from corral.domain.errors import Invalid
from corral.sdk.models import parse_time

command = click.Group("secret", context_settings=HELP, help="Secrets that tasks may use: set, list, delete.")


@verb(
    command,
    "set",
    examples=(
        "corral secret set shop.db.password",
        'pass show shop/db | corral secret set shop.db.password --from-stdin -t \'labels["role"] == "shop"\'',
        "corral exec run -t shop-1 --env PGPASSWORD='{{ secret.shop.db.password }}' -- psql -c 'select 1'",
    ),
    short_help="Give a secret a value; asks for it without showing it.",
)
@click.argument("name")
@click.option("--from-stdin", is_flag=True, help="Read the value from stdin (one newline at the end is left away).")
@click.option("--from-file", metavar="FILE", help="Read the value from a file, as it is.")
@click.option(
    "-t", "--target", "selector", metavar="SEL", help="Nodes that may get it (ids, labels, groups; default all)."
)
@click.option("--description", metavar="TEXT", help="What it is for.")
@click.option("--keep-value", is_flag=True, help="Change only who may get it, or the description.")
async def set_secret(
    session: Session,
    name: str,
    from_stdin: bool,
    from_file: str | None,
    selector: str | None,
    description: str | None,
    keep_value: bool,
) -> None:
    """Give a secret a value. Nobody can read it back; tasks name it as {{ secret.NAME }} and the node fills it in."""
    value = None if keep_value else _value(name, from_stdin, from_file)
    async with session.connect() as fleet:
        entry = await fleet.secrets.set(name, value, selector=selector, description=description)
    session.show(
        dict(entry),
        names=[str(entry["name"])],
        table=lambda wide: f"{entry['name']}: version {entry['version']}, for {entry['selector']}",
    )


def _value(name: str, from_stdin: bool, from_file: str | None) -> str:
    if from_stdin and from_file:
        raise Invalid("cannot read the value from both stdin and a file", element="from_file")
    try:
        if from_file:
            return Path(from_file).read_text()
        if from_stdin:
            return sys.stdin.read().removesuffix("\n")
    except OSError as error:
        raise Invalid(f"cannot read {from_file!r}: {error.strerror}", element="from_file") from None
    except UnicodeDecodeError:
        raise Invalid("cannot keep this value: it is no UTF-8 text", element="value", hint="base64 it first") from None
    if not interactive():
        raise Invalid(
            "cannot ask for the value: this is no terminal",
            element="value",
            hint="--from-stdin, or --from-file FILE; never as an argument: everybody would see it",
        )
    return str(click.prompt(f"Value of {name}", hide_input=True, confirmation_prompt=True, err=True))


@verb(command, "list", examples=("corral secret list", "corral secret list -o name"), short_help="Names, never values.")
async def list_secrets(session: Session) -> None:
    """Names, versions and who may get them; never a value."""
    async with session.connect() as fleet:
        secrets = await fleet.secrets.list()

    def table(wide: bool) -> str:
        if not secrets:
            return "no secrets; corral secret set NAME makes one"
        rows: list[list[object]] = [
            [
                secret["name"],
                secret["version"],
                secret["selector"],
                show_time(parse_time(secret["changed_at"])),
                secret["changed_by"],
                secret["description"],
            ]
            for secret in secrets
        ]
        return render(["SECRET", "VERSION", "FOR", "CHANGED", "BY", "DESCRIPTION"], rows, columns=session.columns())

    session.show([dict(secret) for secret in secrets], names=[str(secret["name"]) for secret in secrets], table=table)


@verb(command, "delete", formats=False, examples=("corral secret delete shop.db.password",), short_help="Delete one.")
@click.argument("name")
async def delete(session: Session, name: str) -> int:
    """Delete a secret. Tasks that still name it fail and say so."""
    async with session.connect() as fleet:
        await fleet.secrets.delete(name)
    session.note(f"{name}: deleted")
    return exits.OK


@verb(
    command,
    "rotate-master-key",
    formats=False,
    examples=("corral secret rotate-master-key",),
    short_help="Seal every secret with a new master key.",
)
async def rotate(session: Session) -> int:
    """Seal the key of every secret with a new master key and forget the old one. Cut short, run it again."""
    async with session.connect() as fleet:
        count = await fleet.secrets.rotate_master_key()
    session.note(
        f"{count} secret{'' if count == 1 else 's'} sealed with the new master key; back it up: keys/master.json"
    )
    return exits.OK
