"""`corral exec …`: run commands on nodes and look after what was run."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import click

from corral.cli import exits
from corral.cli.lazy import Entry, LazyGroup
from corral.cli.options import HELP, Duration, Size, target, verb
from corral.cli.output.units import parse_duration
from corral.cli.session import Session, interactive
from corral.domain.errors import Invalid

ASK_ABOVE_NODES: Final = 20
SHELL_CHARACTERS: Final = "|&;<>$`*"

VERBS: dict[str, Entry] = {
    "repeat": Entry("corral.cli.commands.exec_repeat", "Submit again what a job was, here or elsewhere.", "repeat")
}

command = LazyGroup(
    "exec", entries=VERBS, context_settings=HELP, help="Run commands on nodes, follow them, cancel and repeat them."
)


def states(text: str | None) -> tuple[str, ...]:
    """`failed,timed_out` → the states; raises Invalid naming the one that is none."""
    from corral.domain.job import JobState
    from corral.domain.task import TaskState

    known = [*(state.value for state in TaskState), *(state.value for state in JobState)]
    chosen = tuple(word.strip().lower().replace("-", "_") for word in (text or "").split(",") if word.strip())
    for word in chosen:
        if word not in known:
            raise Invalid(
                f"cannot select state {word!r}: no such state",
                element="states",
                hint=f"one of {', '.join(dict.fromkeys(known))}",
            )
    return chosen


def assignments(pairs: tuple[str, ...]) -> dict[str, str] | None:
    """`K=V` → {K: V}."""
    out = {}
    for pair in pairs:
        key, eq, value = pair.partition("=")
        if not eq or not key:
            raise Invalid(f"cannot read {pair!r}: expected NAME=VALUE", element="env", hint="example: --env LANG=C")
        out[key] = value
    return out or None


def read_input(name: str, element: str) -> bytes:
    """A file's bytes; `-` is our own stdin."""
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise Invalid(f"cannot read {name!r}: {error.strerror}", element=element) from None


def shell_hint(argv: tuple[str, ...]) -> str | None:
    """What to say when an argument looks like a line for a shell."""
    for word in argv:
        for character in word:
            if character in SHELL_CHARACTERS:
                name = argv[0] if word is not argv[0] else "the node"
                return f"note: {character!r} goes to {name} as it is, no shell reads it; for a shell line use --shell"
    return None


def compose(options: dict[str, Any], argv: tuple[str, ...]) -> Any:
    """The submission the options describe; raises Invalid for what does not go together."""
    from corral.sdk.jobs import Submission

    script, shell, interpreter = options.pop("script"), options.pop("shell"), options.pop("interpreter")
    what: dict[str, Any] = {}
    if script is not None:
        if argv or shell:
            raise Invalid(
                "cannot run both a script and a command: --script takes no words after it",
                element="script",
                hint="put the words into the script, or pass them with --env",
            )
        try:
            text = read_input(script, "script").decode()
        except UnicodeDecodeError:
            raise Invalid(f"cannot run {script!r}: a script is text in UTF-8", element="script") from None
        what = {"script": text, "interpreter": interpreter or "sh"}
    elif interpreter is not None:
        raise Invalid("cannot use --interpreter without --script", element="interpreter")
    elif not argv:
        raise Invalid(
            "cannot run nothing: no command was given",
            element="command",
            hint="example: corral exec run -t all -- uptime",
        )
    else:
        what = {"shell": " ".join(argv)} if shell else {"argv": argv}
    stdin = options.pop("stdin")
    if stdin is not None:
        what["stdin"] = read_input(stdin, "stdin")
    return Submission(env=assignments(options.pop("env")), **what, **options)


@verb(
    command,
    "run",
    confirms=True,
    examples=(
        "corral exec run -t all -- uptime",
        "corral exec run -t 'labels[\"role\"] == \"web\"' --shell -- 'df -h / | tail -1'",
        "corral exec run -t web-* --script fix.sh --timeout 10m --concurrency 10",
        "corral exec run -t online --detach -o name -- systemctl restart app",
        "",
        'Selectors: all · web-1,web-2 · web-* · online · labels["env"] in ["prod"] and not ("canary" in groups)',
        "Exit: 0 all succeeded · 124 timed out · 1 otherwise · 2 usage · 3 nobody matched · 4 no server · 5 denied",
    ),
    short_help="Run a command or a script on the nodes a selector picks.",
)
@click.argument("words", metavar="[--] COMMAND...", nargs=-1, type=click.UNPROCESSED)
@target(required=True, help="Which nodes. See below.")
@click.option("--name", help="A name to find the job by.")
@click.option("--timeout", type=Duration(), help="Stop the command after this long (default 5m).")
@click.option("--grace", type=Duration(), help="From TERM to KILL when it is stopped (default 5s).")
@click.option("--concurrency", type=click.IntRange(min=1), metavar="N", help="At most N nodes at once.")
@click.option("--offline", type=click.Choice(["queue", "skip"]), help="Offline nodes: run when back, or leave out.")
@click.option("--expires", type=Duration(), help="How long a queued task stays valid (default 1h).")
@click.option("--wait", "everyone", is_flag=True, help="Wait for offline nodes too.")
@click.option("--retry", "retries", type=click.IntRange(min=0), metavar="N", help="Try again up to N times.")
@click.option("--env", multiple=True, metavar="K=V", help="Environment variable (repeat).")
@click.option("--cwd", metavar="DIR", help="Working directory on the node.")
@click.option("--user", metavar="USER", help="Run as this user.")
@click.option("--host", is_flag=True, default=None, help="Outside the agent's container: in the host's namespaces.")
@click.option("--stdin", metavar="FILE", help="Input for the command, - for ours.")
@click.option("--max-output", type=Size(), help="Output kept per stream (default 64MiB).")
@click.option("--shell", is_flag=True, help="The words are one line for /bin/sh -c.")
@click.option("--script", metavar="FILE", help="Run this script instead of a command, - for stdin.")
@click.option("--interpreter", type=click.Choice(["sh", "bash", "python3", "pwsh"]), help="Of the script (default sh).")
@click.option("--dry-run", is_flag=True, help="Only say whom it would hit.")
@click.option("--detach", is_flag=True, help="Do not wait; print the job id.")
@click.option("--live/--no-live", default=None, help="Stream output (default: up to 50 nodes).")
async def run(
    session: Session,
    words: tuple[str, ...],
    everyone: bool,
    dry_run: bool,
    detach: bool,
    live: bool | None,
    **rest: Any,
) -> int:
    """Run a command or a script on the nodes a selector picks. Waits, with live output, for those that are online;
    Ctrl-C detaches and leaves the job running."""
    what = compose(rest, words)
    if what.argv and (hint := shell_hint(what.argv)):
        session.note(hint)
    async with session.connect() as fleet:
        if dry_run:
            show_preview(session, await fleet.jobs.preview(what))
            return exits.OK
        if interactive() and not session.yes:
            preview = await fleet.jobs.preview(what)
            if len(preview.nodes) > ASK_ABOVE_NODES:
                session.confirm(f"Run this on {len(preview.nodes)} nodes ({len(preview.offline)} offline)?")
        handle = await fleet.jobs.submit(what)
        if detach:
            show_accepted(session, handle.job)
            return exits.OK
        from corral.cli.watch import Watch

        return await Watch(session, handle, everyone=everyone, live=live).run()


run.context_settings = {**HELP, "allow_interspersed_args": False}
run.allow_interspersed_args = False


def show_preview(session: Session, preview: Any) -> None:
    from corral.cli.output.grouping import count, name_list

    def table(wide: bool) -> str:
        text = f"would run on {count(len(preview.nodes))}: {name_list(preview.nodes, 10**6 if wide else 20)}"
        if preview.offline:
            text += f"\n{len(preview.offline)} offline: {name_list(preview.offline, 10**6 if wide else 20)}"
        if why := preview.raw.get("waits_for"):
            text += f"\nwould wait for approval: {why}"
        return text

    session.show(dict(preview.raw), names=preview.nodes, table=table)


def show_accepted(session: Session, job: Any) -> None:
    from corral.cli.watch import header, job_json, waiting_note

    if session.machine or session.quiet:
        session.show(job_json(job), names=[job.job], table=lambda wide: job.job)
        return
    session.note(header(job, list(job.tasks)) if job.tasks else f"{job.job}: accepted")
    if approval := job.raw.get("approval"):
        session.note(waiting_note(approval))
    session.note(f"follow: corral exec logs {job.job} --follow   state: corral exec get {job.job}")
    session.out(job.job)


@verb(
    command,
    "get",
    examples=(
        "corral exec get J01ABC",
        "corral exec get J01ABC --states failed,timed_out --with-output",
        "corral exec get J01ABC -o json | jq '.counts'",
    ),
    short_help="One job: its state and that of every task.",
)
@click.argument("job")
@click.option("--states", "wanted", metavar="S,...", help="Only tasks in these states.")
@click.option("--with-output", is_flag=True, help="Show what the command printed, identical output once.")
async def get(session: Session, job: str, wanted: str | None, with_output: bool) -> None:
    """One job: its state and that of every task."""
    from corral.cli.output.jobs import job_page
    from corral.cli.watch import job_json

    async with session.connect() as fleet:
        found = await fleet.jobs.get(job, with_output=with_output, states=states(wanted))
    session.show(
        job_json(found),
        names=[task.node for task in found.tasks] if wanted else [found.job],
        table=lambda wide: job_page(session, found, wide=wide, with_output=with_output),
    )


@verb(
    command,
    "list",
    examples=(
        "corral exec list",
        "corral exec list --limit 5 --states open",
        'corral exec list --by ana --since 2d -t \'labels["role"] == "db"\'',
        "corral exec list -o name --states failed",
    ),
    short_help="Jobs, the newest first.",
)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most this many.")
@click.option("--states", "wanted", metavar="S,...", help="open, succeeded, failed, cancelled.")
@click.option("--by", metavar="WHO", help="Only those somebody submitted.")
@click.option("--since", metavar="TIME", help="Only from then on: a duration (2d) or a time.")
@click.option("-t", "--target", "on", metavar="SEL", help="Only with a task on a node it picks now.")
async def list_jobs(
    session: Session, limit: int, wanted: str | None, by: str | None, since: str | None, on: str | None
) -> None:
    """Jobs, the newest first."""
    from corral.cli.output.jobs import job_rows
    from corral.cli.output.table import render

    async with session.connect() as fleet:
        jobs = await fleet.jobs.list(limit=limit, states=states(wanted), on=on, by=by, since=_moment(session, since))
    now = session.clock.now()

    def table(wide: bool) -> str:
        headers = ["JOB", "STATE", "NODES", "DONE", "FAILED", "AGE", *(["BY", "TARGET"] if wide else []), "COMMAND"]
        return render(headers, job_rows(jobs, now, wide=wide), columns=session.columns()) if jobs else "no jobs"

    session.show([dict(job.raw) for job in jobs], names=[job.job for job in jobs], table=table)


@verb(
    command,
    "search",
    examples=("corral exec search 'no space left'", "corral exec search refused --since 1d -t 'web-*'"),
    short_help="Find a text in what jobs printed.",
)
@click.argument("text")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most this many jobs.")
@click.option("--by", metavar="WHO", help="Only jobs somebody submitted.")
@click.option("--since", metavar="TIME", help="Only jobs from then on: a duration (1d) or a time.")
@click.option("-t", "--target", "on", metavar="SEL", help="Only output of nodes it picks now.")
async def search(session: Session, text: str, limit: int, by: str | None, since: str | None, on: str | None) -> int:
    """Find a text in what jobs printed, the newest first. Exit 3 when nothing holds it."""
    from corral.cli.output.terminal import clean

    found = []
    async with session.connect() as fleet:
        async for row in fleet.jobs.search(text, on=on, by=by, since=_moment(session, since)):
            found.append(row)
            if not session.machine:
                session.out(f"{row['job']['job']}  {row['job']['created_at']}  {clean(row['job']['command'])}")
                for hit in row["hits"]:
                    session.out(f"  {hit['node']}: {clean(hit['line'])}")
                if row["more"]:
                    session.out(f"  … more: corral exec logs {row['job']['job']}")
            if len(found) == limit:
                break
    if session.machine:
        session.show([dict(row) for row in found], names=[row["job"]["job"] for row in found], table=lambda wide: "")
    elif not found:
        session.note(f"no output holds {text!r}")
    return exits.OK if found else exits.NOTHING


@verb(
    command,
    "cancel",
    confirms=True,
    examples=("corral exec cancel J01ABC", "corral exec cancel J01ABC --node web-1 --node web-2"),
    short_help="Stop a job: withdraw what is queued, end what runs.",
)
@click.argument("job")
@click.option("--node", "nodes", multiple=True, metavar="NODE", help="Only on this node (repeat).")
async def cancel(session: Session, job: str, nodes: tuple[str, ...]) -> None:
    """Stop a job: withdraw what is queued, end what runs (TERM, grace, KILL, the whole process tree)."""
    from corral.cli.output.jobs import counts_text
    from corral.cli.watch import job_json

    async with session.connect() as fleet:
        stopped = await fleet.jobs.cancel(job, nodes)
    session.show(
        job_json(stopped),
        names=[stopped.job],
        table=lambda wide: f"{stopped.job}: cancel accepted; {counts_text(stopped.counts)}",
    )


@verb(
    command,
    "retry",
    confirms=True,
    examples=("corral exec retry J01ABC", "corral exec retry J01ABC --node db-1 --detach"),
    short_help="Run again where it did not succeed.",
)
@click.argument("job")
@click.option("--node", "nodes", multiple=True, metavar="NODE", help="Only on this node (repeat).")
@click.option("--wait", "everyone", is_flag=True, help="Wait for offline nodes too.")
@click.option("--detach", is_flag=True, help="Do not wait.")
async def retry(session: Session, job: str, nodes: tuple[str, ...], everyone: bool, detach: bool) -> int:
    """Run again where it did not succeed: a new attempt in the same job, followed as `exec run` does."""
    from corral.cli.watch import Watch

    async with session.connect() as fleet:
        before = await fleet.jobs.get(job)
        handle = await fleet.jobs.retry(job, nodes)
        if detach:
            show_accepted(session, handle.job)
            return exits.OK
        attempts = {task.node: task.attempt for task in before.tasks}
        return await Watch(session, handle, everyone=everyone, before=attempts).run()


@verb(
    command,
    "logs",
    formats=False,
    examples=(
        "corral exec logs J01ABC",
        "corral exec logs J01ABC --follow --node web-1",
        "corral exec logs J01ABC --node db-1 --raw > dump.sql",
        "corral exec logs J01ABC --since 10m",
    ),
    short_help="What the command printed, line by line or as exact bytes.",
)
@click.argument("job")
@click.option("--node", metavar="NODE", help="Only this node.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@click.option("--since", metavar="TIME", help="Only tasks that still ran then: a duration (10m) or a time.")
@click.option("--raw", is_flag=True, help="The exact bytes of one stream of one node.")
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only this stream (with --raw: stdout).")
async def logs(
    session: Session, job: str, node: str | None, follow: bool, since: str | None, raw: bool, stream: str | None
) -> int:
    """What the command printed, line by line or as exact bytes."""
    from corral.cli.logs import show_lines, show_raw

    async with session.connect() as fleet:
        if raw:
            if follow or since:
                raise Invalid("cannot combine --raw with --follow or --since", element="raw", hint="leave --raw out")
            return await show_raw(session, fleet, job, node, stream or "stdout")
        return await show_lines(session, fleet, job, node, stream, follow=follow, since=_moment(session, since))


def _moment(session: Session, text: str | None) -> Any:
    from corral.sdk.models import parse_time

    if text is None:
        return None
    moment = parse_time(text)
    return moment or session.clock.now() - timedelta(seconds=parse_duration(text, element="since"))
