"""`corral task …`: tasks of any kind, and what kinds there are."""

from __future__ import annotations

import json
from typing import Any

import click

from corral.cli.filetask import limits
from corral.cli.kindtask import kind_named, submit
from corral.cli.options import HELP, verb
from corral.cli.session import Session
from corral.cli.taskparams import from_file, from_words

command = click.Group(
    "task", context_settings=HELP, help="Run what is no command: services, HTTP, databases, clusters, plugins."
)


@verb(
    command,
    "run",
    confirms=True,
    examples=(
        "corral task run service -t 'web-*' -p action=restart -p unit=nginx",
        "corral task run postgres -t db-1 --connection orders -p sql=@fix.sql --dry-run",
        "corral task run kubernetes -t bastion --connection prod -p op=apply -p manifest=@deploy.yaml",
        "corral task run http -t online --params-file check.yaml -p tls.verify=false",
        "",
        "A value is read as the kind's schema says: text, number, true, JSON. @FILE is a file's content.",
        "Exit: 0 all succeeded · 124 timed out · 1 otherwise · 2 usage · 3 nobody matched · 4 no server · 5 denied",
    ),
    short_help="Run a task of a kind on the nodes a selector picks.",
)
@click.argument("kind")
@click.option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="One param (repeat).")
@click.option("--params-file", metavar="FILE", help="Params as JSON or YAML, - for stdin; --param goes over them.")
@click.option("--connection", metavar="NAME", help="The stored connection to use (corral connection list).")
@click.option("--dry-run", is_flag=True, help="Have the nodes say what would change; nothing is changed.")
@click.option("--preview", is_flag=True, help="Only say which nodes it would hit.")
@click.option("--user", metavar="USER", help="Run as this user.")
@click.option("--live/--no-live", default=None, help="Stream output (default: up to 50 nodes).")
@limits
async def run(
    session: Session,
    kind: str,
    params: tuple[str, ...],
    params_file: str | None,
    dry_run: bool,
    preview: bool,
    live: bool | None,
    everyone: bool,
    detach: bool,
    **rest: Any,
) -> int:
    """Run a task of a kind on the nodes a selector picks. `corral task kinds` lists the kinds, `corral task schema KIND` the params
    of one."""
    from corral.sdk.jobs import KindTask

    base = from_file(params_file) if params_file is not None else {}
    async with session.connect() as fleet:
        found = await kind_named(fleet, kind)
        task = KindTask(
            kind=kind, params=from_words(params, found["schema"], base), dry_run=True if dry_run else None, **rest
        )
        return await submit(session, fleet, task, everyone=everyone, detach=detach, preview=preview, live=live)


@verb(
    command,
    "kinds",
    examples=("corral task kinds", "corral task kinds -o name", "corral task kinds -o json | jq '.[].permission'"),
    short_help="The kinds of task this server takes.",
)
async def kinds(session: Session) -> None:
    """The kinds of task this server takes, and whether you may run them."""
    from corral.cli.output.table import render

    async with session.connect() as fleet:
        found = sorted(await fleet.jobs.kinds(), key=lambda row: str(row["name"]))

    def table(wide: bool) -> str:
        headers = ["KIND", "ALLOWED", "CONNECTION", *(["PERMISSION"] if wide else []), "WHAT"]
        rows = [
            [
                row["name"],
                "yes" if row["allowed"] else "no",
                ", ".join(row["engines"]) or "-",
                *([row["permission"]] if wide else []),
                row["summary"],
            ]
            for row in found
        ]
        return render(headers, rows, columns=session.columns())

    session.show(found, names=[row["name"] for row in found], table=table)


@verb(
    command,
    "schema",
    examples=("corral task schema http", "corral task schema postgres -o json > postgres.schema.json"),
    short_help="The params of a kind; -o json: their JSON Schema.",
)
@click.argument("kind")
async def schema(session: Session, kind: str) -> None:
    """The params of a kind. -o json prints the JSON Schema that server and node check them against."""
    from corral.cli.output.table import render

    async with session.connect() as fleet:
        found = await kind_named(fleet, kind)
    required = found["schema"].get("required", ())

    def table(wide: bool) -> str:
        head = f"{found['name']}: {found['summary']}"
        if found["engines"]:
            head += f"\nneeds a connection: {', '.join(found['engines'])}"
        rows = rows_of(found["schema"], required)
        text = render(["PARAM", "TYPE", "DEFAULT", "WHAT"], rows, columns=None if wide else session.columns())
        return f"{head}\n\n{text}" if rows else f"{head}\n\nno params"

    properties = found["schema"].get("properties", {})
    session.show(found["schema"], names=sorted(properties), table=table)


def rows_of(schema: Any, required: Any, prefix: str = "") -> list[list[str]]:
    """A row for every param, those inside an object behind its name, what is required first."""
    rows = []
    properties = schema.get("properties", {})
    for name in sorted(properties, key=lambda name: (name not in required, list(properties).index(name))):
        part = properties[name]
        default = "required" if name in required else json.dumps(part["default"]) if "default" in part else "-"
        rows.append([prefix + name, type_of(part), default, part.get("description", "")])
        if part.get("properties"):
            rows += rows_of(part, part.get("required", ()), f"{prefix}{name}.")
    return rows


def type_of(part: Any) -> str:
    """`integer 1..10`, `a|b|c`, `list of string`."""
    if "enum" in part:
        return "|".join(map(str, part["enum"]))
    types = part.get("type", "any")
    names = [types] if isinstance(types, str) else list(types)
    text = "any" if len(names) > 4 else " or ".join(names)
    if names == ["array"]:
        return f"list of {type_of(part.get('items', {}))}"
    if "minimum" in part and "maximum" in part:
        text += f" {part['minimum']}..{part['maximum']}"
    return text
