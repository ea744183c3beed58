"""`corral can-i`: may I, or somebody else, do this there, and by which grant."""

from __future__ import annotations

from typing import Final

import click

from corral.cli import exits
from corral.cli.options import target, verb
from corral.cli.output.table import render
from corral.cli.session import Session
from corral.domain.errors import Invalid

_NAMED: Final = 20


@verb(
    None,
    "can-i",
    examples=(
        'corral can-i exec.run -t \'labels["env"] == "prod"\'',
        "corral can-i exec.run -t web-1 --as ana",
        "corral can-i --list",
    ),
    short_help="Say whether somebody may do something, on which nodes, and by which grant.",
)
@click.argument("permission", required=False)
@target(required=False)
@click.option("--as", "user", metavar="USER", help="Somebody else (needs role.read).")
@click.option("--list", "everything", is_flag=True, help="All that is permitted, and where.")
async def command(
    session: Session, permission: str | None, target: str | None, user: str | None, everything: bool
) -> int:
    """Exit 0: yes, on every node asked about; 1: no, or not on all of them."""
    if everything == (permission is not None):
        raise Invalid(
            "cannot tell what is asked: give one permission, or --list",
            element="permission",
            hint="example: corral can-i exec.run -t web-1",
        )
    async with session.connect() as fleet:
        if everything:
            held = await fleet.roles.held(user=user)
            lines: list[list[object]] = [[word, " or ".join(where)] for word, where in held.items()]
            session.show(
                {word: list(where) for word, where in held.items()},
                names=list(held),
                table=lambda wide: (
                    render(["PERMISSION", "ON"], lines, columns=session.columns()) if lines else "nothing at all"
                ),
            )
            return exits.OK if lines else exits.FAILED
        found = await fleet.roles.can_i(permission or "", target, user=user)

    def table(wide: bool) -> str:
        outside, total = found["outside"], found["nodes"]
        if found["verdict"] == "some":
            text = [f"yes on {total - len(outside)} of {total}; no on {_named(outside, wide)}"]
        else:
            text = [f"{found['verdict']}: {found['why']}"]
        text += [
            f"  grant {one['grant']}: role {one['role']} on {one['selector']}"
            + (f" ({one['nodes']} of {total})" if total else "")
            for one in found["grants"]
        ]
        return "\n".join(text)

    session.show(dict(found), names=[str(found["verdict"])], table=table)
    return exits.OK if found["verdict"] == "yes" else exits.FAILED


def _named(nodes: list[str], wide: bool) -> str:
    more = 0 if wide else len(nodes) - _NAMED
    return ", ".join(nodes if wide else nodes[:_NAMED]) + (f" and {more} more (-o wide)" if more > 0 else "")
