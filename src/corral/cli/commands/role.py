"""`corral role …`: roles, and who has them where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from corral.cli import exits
from corral.cli.options import HELP, target, verb
from corral.cli.output.table import render
from corral.cli.session import Session
from corral.domain.errors import Invalid, NotFound

command = click.Group(
    "role", context_settings=HELP, help="Roles and grants: list, show, create, set, delete, grant, revoke, grants."
)
Row = Mapping[str, Any]


@verb(command, "list", examples=("corral role list", "corral role list -o wide"))
async def list_roles(session: Session) -> None:
    """The ready roles (viewer, operator, deployer, approver, admin), then your own."""
    async with session.connect() as fleet:
        roles = await fleet.roles.list()

    def table(wide: bool) -> str:
        lines: list[list[object]] = [
            [
                role["name"],
                "ready" if role["ready"] else "own",
                role["max_nodes"] or "",
                ",".join(role["permissions"]) if wide else _count(role["permissions"]),
                role["description"],
            ]
            for role in roles
        ]
        return render(["ROLE", "KIND", "MAX NODES", "PERMISSIONS", "DESCRIPTION"], lines, columns=session.columns())

    session.show([dict(role) for role in roles], names=[str(role["name"]) for role in roles], table=table)


@verb(command, "show", examples=("corral role show operator", "corral role show operator -o json"))
@click.argument("name")
async def show(session: Session, name: str) -> None:
    """What a role permits."""
    async with session.connect() as fleet:
        role = await fleet.roles.show(name)
    _show(session, role)


@verb(
    command,
    "create",
    examples=(
        "corral role create reader --permissions node.read,exec.read --description 'Sees nodes and jobs'",
        "corral role create careful --like operator --without exec.shell --max-nodes 20",
    ),
)
@click.argument("name")
@click.option("--permissions", metavar="WORD,...", help="What it permits; words: corral can-i --list, docs/roles.md.")
@click.option("--like", metavar="ROLE", help="Begin with what this role permits.")
@click.option("--without", metavar="WORD,...", help="Leave these out of it.")
@click.option("--description", metavar="TEXT", default="", help="One sentence.")
@click.option("--max-nodes", type=click.IntRange(min=1), metavar="N", help="At most so many nodes in one submission.")
async def create(
    session: Session,
    name: str,
    permissions: str | None,
    like: str | None,
    without: str | None,
    description: str,
    max_nodes: int | None,
) -> None:
    """Make a role of your own. Nobody has it until you grant it."""
    async with session.connect() as fleet:
        chosen = set(_words(permissions))
        if like is not None:
            chosen |= set((await fleet.roles.show(like))["permissions"])
        made = await fleet.roles.create(
            name, sorted(chosen - set(_words(without))), description=description, max_nodes=max_nodes
        )
    _show(session, made)


@verb(
    command,
    "set",
    examples=(
        "corral role set careful --add file.read --remove exec.shell",
        "corral role set careful --max-nodes 50",
        "corral role set careful --no-max-nodes",
    ),
)
@click.argument("name")
@click.option("--permissions", metavar="WORD,...", help="Exactly these.")
@click.option("--add", metavar="WORD,...", help="These too.")
@click.option("--remove", metavar="WORD,...", help="Not these any more.")
@click.option("--description", metavar="TEXT", help="One sentence.")
@click.option("--max-nodes", type=click.IntRange(min=1), metavar="N", help="At most so many nodes in one submission.")
@click.option("--no-max-nodes", is_flag=True, help="Any number of nodes.")
async def set_role(
    session: Session,
    name: str,
    permissions: str | None,
    add: str | None,
    remove: str | None,
    description: str | None,
    max_nodes: int | None,
    no_max_nodes: bool,
) -> None:
    """Change a role of your own; it counts at once for everybody who has it."""
    if max_nodes is not None and no_max_nodes:
        raise Invalid("cannot do both: --max-nodes and --no-max-nodes", element="max-nodes")
    fields: dict[str, Any] = {}
    async with session.connect() as fleet:
        have = await fleet.roles.show(name)
        if permissions is not None or add is not None or remove is not None:
            words = set(have["permissions"] if permissions is None else _words(permissions))
            fields["permissions"] = sorted((words | set(_words(add))) - set(_words(remove)))
        if description is not None:
            fields["description"] = description
        if max_nodes is not None or no_max_nodes:
            fields["max_nodes"] = max_nodes
        if not fields:
            raise Invalid("cannot change the role: nothing to change was given", element="role", hint="--add file.read")
        changed = await fleet.roles.set(name, if_match=have["resource_version"], **fields)
    _show(session, changed)


@verb(command, "delete", formats=False, examples=("corral role delete careful",))
@click.argument("name")
async def delete(session: Session, name: str) -> int:
    """Delete a role of your own; refused while somebody has it."""
    async with session.connect() as fleet:
        await fleet.roles.delete(name)
    session.note(f"{name}: deleted")
    return exits.OK


@verb(
    command,
    "grant",
    examples=(
        'corral role grant operator --to ana -t \'labels["env"] == "dev"\'',
        "corral role grant viewer --to-group developers",
        "corral role grant admin --to ben",
    ),
    short_help="Give somebody a role, on some nodes or on all.",
)
@click.argument("role")
@click.option("--to", "user", metavar="USER", help="Who gets it.")
@click.option("--to-group", "group", metavar="GROUP", help="A group of the identity provider instead of one user.")
@target(required=False, help="On which nodes: ids, globs, labels, groups; never facts (default: all).")
async def grant(session: Session, role: str, user: str | None, group: str | None, target: str | None) -> None:
    """Give somebody a role on the nodes of a selector, now and later: a node that gets the label is in it."""
    subject = _one(user, group, "--to")
    async with session.connect() as fleet:
        made = await fleet.roles.grant(role, subject, selector=target or "all", group=group is not None)
    session.show(
        dict(made), names=[str(made["id"])], table=lambda wide: f"{_who(made)} has {role} on {made['selector']}"
    )


@verb(
    command,
    "revoke",
    examples=("corral role revoke operator --from ana", "corral role revoke G01ABCDEFGHJKMNPQRS"),
    short_help="Take a role back.",
)
@click.argument("role")
@click.option("--from", "user", metavar="USER", help="From whom.")
@click.option("--from-group", "group", metavar="GROUP", help="From a group of the identity provider.")
@target(required=False, help="Only the grant on exactly this selector (default: all of them).")
async def revoke(session: Session, role: str, user: str | None, group: str | None, target: str | None) -> None:
    """Take a role back from somebody, or one grant by its id. It counts at once."""
    async with session.connect() as fleet:
        if user is None and group is None:
            gone = [await fleet.roles.revoke(role)]
        else:
            subject, kind = _one(user, group, "--from"), "user" if group is None else "group"
            found = [
                have
                for have in await fleet.roles.grants(role=role)
                if (have["subject"], have["subject_kind"]) == (subject, kind) and target in (None, have["selector"])
            ]
            if not found:
                raise NotFound(
                    f"cannot revoke role {role!r} from {subject!r}: there is no such grant",
                    element="role",
                    hint=f"corral role grants --role {role}",
                )
            gone = [await fleet.roles.revoke(str(have["id"])) for have in found]
    session.show(
        [dict(one) for one in gone],
        names=[str(one["id"]) for one in gone],
        table=lambda wide: "\n".join(f"{_who(one)} has {one['role']} on {one['selector']} no more" for one in gone),
    )


@verb(command, "grants", examples=("corral role grants", "corral role grants --user ana"))
@click.option("--user", metavar="USER", help="What counts for this user, groups included.")
@click.option("--role", metavar="ROLE", help="Only of this role.")
async def grants(session: Session, user: str | None, role: str | None) -> None:
    """Who has which role where."""
    async with session.connect() as fleet:
        found = await fleet.roles.grants(user=user, role=role)

    def table(wide: bool) -> str:
        headers = ["WHO", "ROLE", "ON", *(("BY", "GRANT") if wide else ())]
        lines: list[list[object]] = [
            [_who(one), one["role"], one["selector"], *((one["created_by"], one["id"]) if wide else ())]
            for one in found
        ]
        return render(headers, lines, columns=session.columns()) if lines else "no grants"

    session.show([dict(one) for one in found], names=[str(one["id"]) for one in found], table=table)


def _show(session: Session, role: Row) -> None:
    def table(wide: bool) -> str:
        lines = [f"{role['name']}: {role['description']}" if role["description"] else str(role["name"])]
        if role["max_nodes"]:
            lines.append(f"at most {role['max_nodes']} nodes in one submission")
        return "\n".join([*lines, *(f"  {word}" for word in role["permissions"])])

    session.show(dict(role), names=[str(role["name"])], table=table)


def _who(grant: Row) -> str:
    return f"group {grant['subject']}" if grant["subject_kind"] == "group" else str(grant["subject"])


def _count(permissions: Sequence[str]) -> str:
    return "everything" if "*" in permissions else str(len(permissions))


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _one(user: str | None, group: str | None, option: str) -> str:
    if (user is None) == (group is None):
        raise Invalid(f"cannot tell who: give {option} USER or {option}-group GROUP", element=option.strip("-"))
    return user if user is not None else group or ""
