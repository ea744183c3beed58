"""`corral approval …`: what waits for a second person, and the rules that ask for one."""

from __future__ import annotations

from typing import Any

import click

from corral.cli import exits
from corral.cli.options import HELP, verb
from corral.cli.output.table import render
from corral.cli.output.units import show_time
from corral.cli.session import Session
from corral.sdk.models import parse_time

command = click.Group(
    "approval", context_settings=HELP, help="Four eyes: what waits for a second person, and the rules that ask."
)


@verb(
    command,
    "list",
    examples=("corral approval list", "corral approval list --all -o json"),
    short_help="What waits for a second person.",
)
@click.option("--all", "everything", is_flag=True, help="Also what was decided, withdrawn or expired.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most this many.")
async def list_approvals(session: Session, everything: bool, limit: int) -> None:
    """What waits for a second person, the newest first."""
    async with session.connect() as fleet:
        found = await fleet.approvals.list(states=() if everything else ("pending",), limit=limit)

    def table(wide: bool) -> str:
        if not found:
            return "nothing waits for approval" if not everything else "no approvals yet"
        rows: list[list[object]] = [
            [
                item["approval"],
                item["state"],
                item["job"],
                item["nodes"],
                item["asked_by"],
                show_time(parse_time(item["expires_at"])),
                item["why"],
            ]
            for item in found
        ]
        headers = ["APPROVAL", "STATE", "JOB", "NODES", "ASKED BY", "UNTIL", "WHY"]
        return render(headers, rows, columns=session.columns())

    session.show([dict(item) for item in found], names=[str(item["approval"]) for item in found], table=table)


@verb(command, "show", examples=("corral approval show P01ABC",), short_help="One approval, and what its job would do.")
@click.argument("approval")
async def show(session: Session, approval: str) -> None:
    """One approval: what would be done, where, and who asks."""
    async with session.connect() as fleet:
        found = await fleet.approvals.show(approval)
        job = await fleet.jobs.get(str(found["job"]))
    nodes = [task.node for task in job.tasks]
    session.show(dict(found), names=[approval], table=lambda wide: "\n".join(_lines(found, job, nodes)))


def _lines(found: Any, job: Any, nodes: list[str]) -> list[str]:
    shown = ", ".join(nodes[:20]) + (f" and {len(nodes) - 20} more" if len(nodes) > 20 else "")
    lines = [
        f"approval  {found['approval']} ({found['state']})",
        f"command   {job.command}",
        f"nodes     {found['nodes']}: {shown}",
        f"asked by  {found['asked_by']} at {show_time(parse_time(found['asked_at']))}",
        f"why       {found['why']}",
        f"until     {show_time(parse_time(found['expires_at']))}",
        f"job       {found['job']}" + (f" ({job.name})" if job.name else ""),
    ]
    if found["decided_by"]:
        lines.append(f"decided   {found['decided_by']}: {found['note'] or found['state']}")
    return lines


@verb(
    command,
    "approve",
    formats=False,
    examples=("corral approval approve P01ABC --note 'checked with the shop team'",),
    short_help="Let it go out.",
)
@click.argument("approval")
@click.option("--note", default="", metavar="TEXT", help="Why; kept with the decision.")
async def approve(session: Session, approval: str, note: str) -> int:
    """Let the job go out. The one who asked cannot."""
    return await _decide(session, approval, True, note)


@verb(
    command,
    "deny",
    formats=False,
    examples=("corral approval deny P01ABC --note 'not before the release'",),
    short_help="Cancel it.",
)
@click.argument("approval")
@click.option("--note", default="", metavar="TEXT", help="Why; the one who asked reads it.")
async def deny(session: Session, approval: str, note: str) -> int:
    """Cancel the job that asks."""
    return await _decide(session, approval, False, note)


async def _decide(session: Session, approval: str, yes: bool, note: str) -> int:
    async with session.connect() as fleet:
        found = await fleet.approvals.decide(approval, approve=yes, note=note)
    session.note(f"{approval}: {found['state']}; follow: corral exec logs {found['job']} --follow")
    return exits.OK


@verb(
    command,
    "rule-set",
    examples=(
        'corral approval rule-set prod -t \'labels["env"] == "prod"\'',
        "corral approval rule-set large --min-nodes 100",
        "corral approval rule-set databases --kind postgres --kind mysql --reading",
    ),
    short_help="Ask for a second person from now on.",
)
@click.argument("name")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only these kinds of task (repeat; default any).")
@click.option("-t", "--target", "selector", metavar="SEL", help="Nodes it is about (ids, labels, groups; default all).")
@click.option("--min-nodes", type=click.IntRange(min=1), metavar="N", help="Only jobs that touch at least N of them.")
@click.option("--reading", is_flag=True, help="Also what only reads.")
async def rule_set(
    session: Session, name: str, kinds: tuple[str, ...], selector: str | None, min_nodes: int | None, reading: bool
) -> None:
    """Make a rule, or replace it. Jobs it is about then wait for somebody else to approve them."""
    async with session.connect() as fleet:
        rule = await fleet.approvals.set_rule(
            name, kinds=list(kinds) or None, selector=selector, min_nodes=min_nodes, reading=reading or None
        )
    session.show(dict(rule), names=[name], table=lambda wide: f"{name}: {_rule_text(rule)}")


def _rule_text(rule: Any) -> str:
    kinds = ", ".join(rule["kinds"]) or "any kind"
    return f"{kinds} on {rule['min_nodes']} or more of {rule['selector']}" + (", reads too" if rule["reading"] else "")


@verb(command, "rule-list", examples=("corral approval rule-list",), short_help="The rules that ask.")
async def rule_list(session: Session) -> None:
    """The rules that ask for a second person."""
    async with session.connect() as fleet:
        found = await fleet.approvals.rules()
    session.show(
        [dict(rule) for rule in found],
        names=[str(rule["name"]) for rule in found],
        table=lambda wide: (
            render(
                ["RULE", "ASKS FOR", "BY"],
                [[rule["name"], _rule_text(rule), rule["changed_by"]] for rule in found],
                columns=session.columns(),
            )
            if found
            else "no rules: nothing waits for a second person"
        ),
    )


@verb(command, "rule-remove", formats=False, examples=("corral approval rule-remove prod",), short_help="Ask no more.")
@click.argument("name")
async def rule_remove(session: Session, name: str) -> int:
    """Delete a rule. What already waits goes on waiting."""
    async with session.connect() as fleet:
        await fleet.approvals.delete_rule(name)
    session.note(f"{name}: removed")
    return exits.OK
