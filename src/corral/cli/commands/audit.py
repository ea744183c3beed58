"""`corral audit …`: who did what."""

from __future__ import annotations

import click

from corral.cli.options import HELP, verb
from corral.cli.output.table import render
from corral.cli.output.units import show_time
from corral.cli.session import Session
from corral.sdk.models import parse_time

command = click.Group("audit", context_settings=HELP, help="The audit record: every write, refusal and sensitive read.")


@verb(command, "list", examples=("corral audit list", "corral audit list --limit 200 -o json"))
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most this many.")
async def list_entries(session: Session, limit: int) -> None:
    """What happened, the newest first."""
    async with session.connect() as fleet:
        entries = await fleet.system.audit(limit=limit)

    def table(wide: bool) -> str:
        lines: list[list[object]] = []
        for entry in entries:
            more = [entry.get("status"), entry.get("address"), entry.get("request_id")] if wide else []
            when = show_time(parse_time(entry.get("at")))
            lines.append(
                [when, entry.get("actor"), entry.get("outcome"), entry.get("action"), *more, entry.get("target")]
            )
        headers = ["TIME", "WHO", "OUTCOME", "ACTION", *(["STATUS", "FROM", "REQUEST"] if wide else []), "TARGET"]
        return render(headers, lines, columns=session.columns()) if lines else "nothing recorded"

    names = [str(entry.get("id") or entry.get("request_id") or "") for entry in entries]
    session.show(entries, names=names, table=table)
