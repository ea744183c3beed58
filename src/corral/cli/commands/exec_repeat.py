"""`corral exec repeat`: what a job was, submitted again as a new job."""

from __future__ import annotations

import click

from corral.cli import exits
from corral.cli.kindtask import submit
from corral.cli.options import target, verb
from corral.cli.output.terminal import clean
from corral.cli.output.writers import as_json
from corral.cli.session import Session
from corral.domain.errors import Denied


@verb(
    None,
    "repeat",
    confirms=True,
    examples=(
        "corral exec repeat J01ABC",
        "corral exec repeat J01ABC -t web-7",
        "corral exec repeat J01ABC --print",
    ),
    short_help="Submit again what a job was, here or elsewhere.",
)
@click.argument("job")
@target(required=False, help="Other nodes than those the job's selector picks now.")
@click.option("--print", "show", is_flag=True, help="Only print what would be submitted, as POST /jobs takes it.")
@click.option("--dry-run", is_flag=True, help="Only say whom it would hit.")
@click.option("--wait", "everyone", is_flag=True, help="Wait for offline nodes too.")
@click.option("--detach", is_flag=True, help="Do not wait; print the job id.")
@click.option("--live/--no-live", default=None, help="Stream output (default: up to 50 nodes).")
async def repeat(
    session: Session,
    job: str,
    target: str | None,
    show: bool,
    dry_run: bool,
    everyone: bool,
    detach: bool,
    live: bool | None,
) -> int:
    """Submit again what a job was, of any kind: a new job, on the nodes its selector picks now or on others.

    `exec retry` goes on with the same job where it did not succeed; this begins anew everywhere."""
    from corral.sdk.jobs import Repeat

    async with session.connect() as fleet:
        found = await fleet.jobs.submitted(job)
        left_out = ", ".join(found["left_out"])
        again = Repeat(submission=found["submission"], target=target)
        if show:
            session.show(again.body(), names=[job], table=lambda wide: clean(as_json(again.body())))
            if left_out:
                session.note(f"{left_out}: left out, you may not submit this job yourself")
            return exits.OK
        if left_out:
            raise Denied(
                f"cannot repeat job {job!r}: its {left_out} are not shown to you, as you may not submit it yourself",
                element="job",
                hint=f"corral exec repeat {job} --print shows the rest",
            )
        return await submit(session, fleet, again, everyone=everyone, detach=detach, preview=dry_run, live=live)
