"""`corral rollout …`: bring a change to the fleet in stages that stop by themselves."""

from __future__ import annotations

import shlex
from typing import Any, Final

import click

from corral.cli import exits
from corral.cli.commands.exec import ASK_ABOVE_NODES, assignments, read_input
from corral.cli.options import HELP, Duration, Size, target, verb
from corral.cli.session import Session, interactive
from corral.domain.errors import Invalid

EXIT_HELP: Final = "Exit: 0 succeeded, accepted, or waiting for advance · 1 otherwise · 2 usage · 3 nobody matched · 4 no server · 5 denied"

command = click.Group(
    "rollout", context_settings=HELP, help="Bring a change to the fleet in stages that stop by themselves."
)


def words(text: str, element: str) -> list[str]:
    """One shell-quoted string → argv; raises Invalid."""
    try:
        argv = shlex.split(text)
    except ValueError as error:
        raise Invalid(
            f"cannot split {text[:60]!r} into words: {error}",
            element=element,
            hint="quote it as for a shell, or --shell",
        ) from None
    if not argv:
        raise Invalid("cannot run nothing: the command is empty", element=element)
    return argv


def change_of(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """(the change, the file to upload first or None) from the options; raises Invalid for what does not go together."""
    line, script, src, dest = (options.pop(key) for key in ("command_line", "script", "file_src", "file_dest"))
    shell, more, env = options.pop("shell"), options.pop("args"), assignments(options.pop("env"))
    interpreter = options.pop("interpreter")
    file = {key.removeprefix("file_"): options.pop(key) for key in [k for k in options if k.startswith("file_")]}
    given = [
        name for name, value in (("--command", line), ("--script", script), ("--file-src", src)) if value is not None
    ]
    if len(given) != 1:
        raise Invalid(
            f"cannot tell what to do: expected one of --command, --script and --file-src, got {' and '.join(given) or 'none'}",
            element="command",
            hint="example: corral rollout create --name web -t web-* --strategy percentage:10,50,100 --command 'systemctl restart app'",
        )
    limits = {key: value for key in ("concurrency", "retries") if (value := options.pop(key)) is not None}
    if src is not None:
        if dest is None:
            raise Invalid(
                "cannot ship a file without a place for it", element="file-dest", hint="--file-dest /etc/app.conf"
            )
        chosen = {key: value for key, value in file.items() if value not in (None, False)}
        return {"kind": "file", "file": {"op": "apply", "dest": dest, **chosen}, **limits}, {"src": src}
    extra = [
        f"--file-{key.replace('_', '-')}" for key, value in {**file, "dest": dest}.items() if value not in (None, False)
    ]
    if extra:
        raise Invalid(f"cannot use {extra[0]} without --file-src", element=extra[0].removeprefix("--"))
    common = {**limits, **({"env": env} if env else {})}
    if script is not None:
        if shell or more:
            raise Invalid(
                "cannot give --shell or --args to a script", element="script", hint="put them into the script"
            )
        try:
            text = read_input(script, "script").decode()
        except UnicodeDecodeError:
            raise Invalid(f"cannot run {script!r}: a script is text in UTF-8", element="script") from None
        return {"script": text, "interpreter": interpreter or "sh", **common}, None
    if interpreter is not None:
        raise Invalid("cannot use --interpreter without --script", element="interpreter")
    if shell:
        return {"shell": line + (f" {more}" if more else ""), **common}, None
    return {"argv": words(line, "command") + (words(more, "args") if more else []), **common}, None


@verb(
    command,
    "create",
    confirms=True,
    examples=(
        "corral rollout create --name web -t web-* --strategy percentage:10,30,60,100 --command 'systemctl restart app'",
        "corral rollout create --name conf -t web-* --strategy count:2,5,0 --file-src app.conf --file-dest /etc/app.conf",
        "corral rollout create --name kernel -t all --strategy groups:rack --script upgrade.sh --max-failed 5% --gate online",
        "corral rollout create --name dns -t dns-* --stage dns-1 --command 'rndc reload' --gate 'command:dig @localhost x.org'",
        "corral rollout create --name app -t all --strategy count:1,0 --command go --on-failure rollback --rollback-cmd undo",
        "corral rollout create --name web -t web-* --strategy percentage:10,100 --command true --dry-run",
        "",
        "percentage: shares of all nodes, cumulative · count: nodes per stage, 0 = all the rest · groups: a stage per value.",
        "What is left forms a last stage. Without --auto-advance it pauses after each stage: corral rollout advance R…",
        EXIT_HELP,
    ),
    short_help="Start a rollout: stage 1 at once, the others as each passes.",
)
@click.option("--name", required=True, help="The next of this name is compared with it.")
@target(required=True, help="Which nodes (see exec run --help).")
@click.option("--strategy", metavar="KIND:VALUES", help="percentage:… · count:… · groups:LABEL")
@click.option(
    "--stage", "stages", multiple=True, metavar="SELECTOR", help="Instead: one stage of these nodes (repeat)."
)
@click.option("--command", "command_line", metavar="LINE", help="Run this: words quoted as for a shell.")
@click.option("--args", metavar="WORDS", help="More words for --command.")
@click.option("--shell", is_flag=True, help="--command is one line for /bin/sh -c.")
@click.option("--script", metavar="FILE", help="Run this script, - for stdin.")
@click.option("--interpreter", type=click.Choice(["sh", "bash", "python3", "pwsh"]), help="Of the script (default sh).")
@click.option("--env", multiple=True, metavar="K=V", help="Environment variable (repeat).")
@click.option("--file-src", metavar="FILE|DIR", help="Ship this …")
@click.option("--file-dest", metavar="PATH", help="… to there.")
@click.option("--file-owner", metavar="USER[:GROUP]", help="Its owner (default: as it is).")
@click.option("--file-mode", metavar="0644", help="Its permissions (default: as they are).")
@click.option("--file-template", is_flag=True, help="Fill in {{ … }} on each node.")
@click.option("--file-validate", metavar="CMD", help="Must succeed on the new file (%s) first.")
@click.option("--file-notify", metavar="CMD", help="Run this where something changed.")
@click.option("--file-job-bandwidth", type=Size(), help="Bytes a second of a stage as a whole.")
@click.option("--timeout", type=Duration(), help="Stop it on a node then (default 5m).")
@click.option("--stage-deadline", type=Duration(), help="A stage ends then (default: --timeout + 60s).")
@click.option("--concurrency", type=click.IntRange(min=1), metavar="N", help="At most N nodes of a stage at once.")
@click.option("--retry", "retries", type=click.IntRange(min=0), metavar="N", help="Try again up to N times.")
@click.option("--max-failed", metavar="N|N%", help="May fail: STAGE or STAGE,WHOLE (default 0).")
@click.option("--max-unreachable", metavar="N|N%", help="May not be reached, likewise (default 0).")
@click.option(
    "--gate",
    "gates",
    multiple=True,
    metavar="GATE",
    help="online · command:LINE · task:KIND:{params} · http://… (repeat).",
)
@click.option("--on-failure", type=click.Choice(["pause", "rollback"]), help="When a stage fails (default pause).")
@click.option("--rollback-cmd", metavar="LINE", help="What undoes it, for /bin/sh (not for files).")
@click.option("--auto-advance", is_flag=True, help="Go on by itself when a stage passed.")
@click.option("--advance-interval", type=Duration(), help="Wait between stages (with --auto-advance).")
@click.option("--dry-run", is_flag=True, help="Only show the stages.")
@click.option("--follow", is_flag=True, help="Follow it as `rollout status --follow` does.")
async def create(session: Session, dry_run: bool, follow: bool, **options: Any) -> int:
    """Start a rollout. The target is resolved once, shown, and pinned; each stage starts only when the one before has passed
    its gate, and a stage that fails stops the rollout."""
    from dataclasses import replace

    from corral.cli.output.rollouts import plan_lines, rollout_shape
    from corral.sdk.rollouts import NewRollout, gate

    strategy = _strategy(options.pop("strategy"), options.pop("stages"))
    change, upload = change_of(options)
    undo = options.pop("rollback_cmd")
    new = NewRollout(
        strategy=strategy,
        change=change,
        gates=[gate(text) for text in options.pop("gates")],
        rollback_command=None if undo is None else {"shell": undo},
        **options,
    )
    async with session.connect() as fleet:
        if upload is not None:
            await fleet.nodes.resolve(new.target)  # a selector that is wrong is said before anything is uploaded
            revision = await fleet.files.upload(upload["src"])
            file = {**change["file"], "source": revision.source_path, "revision": revision.revision}
            new = replace(new, change={**change, "file": file})
        plan = await fleet.rollouts.preview(new) if dry_run or (interactive() and not session.yes) else None
        if dry_run:
            assert plan is not None
            session.show(rollout_shape(plan), names=[], table=lambda wide: "\n".join(plan_lines(plan)))
            return exits.OK
        if plan is not None and plan.nodes > ASK_ABOVE_NODES:
            for line in plan_lines(plan):
                session.note(line)
            session.confirm(f"Bring this to {plan.nodes} nodes?")
            new = replace(new, pinned=plan.pinned)
        made = await fleet.rollouts.create(new)
        if plan is None or plan.nodes <= ASK_ABOVE_NODES:
            for line in plan_lines(made):
                session.note(line)
        if follow:
            from corral.cli.lanes import Lanes

            return await Lanes(session).follow(fleet, made.rollout)
    session.note(f"follow: corral rollout status --follow {made.rollout}")
    session.show(rollout_shape(made), names=[made.rollout], table=lambda wide: made.rollout)
    return exits.OK


def _strategy(strategy: str | None, stages: tuple[str, ...]) -> str | tuple[str, ...]:
    if (strategy is None) == (not stages):
        raise Invalid(
            "cannot make stages: expected either --strategy or --stage",
            element="strategy",
            hint="--strategy percentage:10,30,60,100, or --stage SELECTOR for each stage",
        )
    return stages if strategy is None else strategy


@verb(
    command,
    "status",
    examples=(
        "corral rollout status R01ABC",
        "corral rollout status --follow R01ABC",
        "corral rollout status R01ABC -o json | jq '.stages[].counts'",
        "",
        "--follow ends when the rollout is over or paused. " + EXIT_HELP,
    ),
    short_help="One rollout: a lane for each stage.",
)
@click.argument("rollout")
@click.option("-f", "--follow", is_flag=True, help="Go on until it is over or paused.")
async def status(session: Session, rollout: str, follow: bool) -> int:
    """One rollout: a lane for each stage, with what became of its nodes."""
    from corral.cli.output.rollouts import advice, page, rollout_shape

    async with session.connect() as fleet:
        if follow:
            from corral.cli.lanes import Lanes

            return await Lanes(session).follow(fleet, rollout)
        found = await fleet.rollouts.get(rollout)
    columns = session.columns()
    session.show(
        rollout_shape(found), names=[found.rollout], table=lambda wide: page(found, columns=columns, wide=wide)
    )
    if said := advice(found):
        session.note(said)
    return exits.OK


@verb(
    command,
    "list",
    examples=("corral rollout list", "corral rollout list --limit 5 --states running,paused"),
    short_help="Rollouts, the newest first.",
)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="At most this many.")
@click.option(
    "--states", metavar="S,...", help="created, running, paused, succeeded, failed, rolling_back, rolled_back."
)
async def list_rollouts(session: Session, limit: int, states: str | None) -> None:
    """Rollouts, the newest first."""
    from corral.cli.output.rollouts import rollout_rows, rollout_shape
    from corral.cli.output.table import render

    wanted = [word.strip().lower().replace("-", "_") for word in (states or "").split(",") if word.strip()]
    async with session.connect() as fleet:
        found = await fleet.rollouts.list(limit=limit, states=wanted)
    rows = rollout_rows(found, session.clock.now())

    def table(wide: bool) -> str:
        headers = ["ROLLOUT", "STATE", "STAGE", "NODES", "AGE", "NAME", "CHANGE"]
        return render(headers, rows, columns=session.columns()) if rows else "no rollouts"

    session.show([rollout_shape(each) for each in found], names=[each.rollout for each in found], table=table)


def _show_steered(session: Session, rollout: Any) -> None:
    from corral.cli.output.rollouts import headline, rollout_shape

    session.show(rollout_shape(rollout), names=[rollout.rollout], table=lambda wide: headline(rollout))


@verb(command, "advance", examples=("corral rollout advance R01ABC",), short_help="Let the next stage start.")
@click.argument("rollout")
async def advance(session: Session, rollout: str) -> None:
    """Let the next stage start. There is no way around a gate: a stage that failed has to be mended (corral exec retry J…,
    corral rollout resume R…) or rolled back."""
    async with session.connect() as fleet:
        _show_steered(session, await fleet.rollouts.advance(rollout))


@verb(command, "pause", examples=("corral rollout pause R01ABC",), short_help="Let nothing new start.")
@click.argument("rollout")
async def pause(session: Session, rollout: str) -> None:
    """Let nothing new start. What the current stage has given to its nodes goes on; corral rollout abort stops that too."""
    async with session.connect() as fleet:
        _show_steered(session, await fleet.rollouts.pause(rollout))


@verb(
    command, "resume", examples=("corral rollout resume R01ABC",), short_help="Go on after a pause or a mended failure."
)
@click.argument("rollout")
async def resume(session: Session, rollout: str) -> None:
    """Go on after a pause. A stage that failed is judged again, as its tasks are now."""
    async with session.connect() as fleet:
        _show_steered(session, await fleet.rollouts.resume(rollout))


@verb(
    command,
    "abort",
    examples=("corral rollout abort R01ABC",),
    short_help="Stop it for good: cancel what is out.",
)
@click.argument("rollout")
async def abort(session: Session, rollout: str) -> None:
    """Stop it for good: no new stage starts, what the current one has on its nodes is cancelled, and the rollout has failed. What
    was done stays; corral rollout rollback R… takes it back."""
    async with session.connect() as fleet:
        _show_steered(session, await fleet.rollouts.abort(rollout))


@verb(
    command,
    "rollback",
    confirms=True,
    examples=(
        "corral rollout rollback R01ABC",
        "corral rollout rollback R01ABC --rollback-cmd 'dnf -y downgrade app' --follow",
    ),
    short_help="Take it back from every node it touched.",
)
@click.argument("rollout")
@click.option("--rollback-cmd", metavar="LINE", help="What undoes it on a node: one line for /bin/sh.")
@click.option("-f", "--follow", is_flag=True, help="Follow it to its end.")
async def rollback(session: Session, rollout: str, rollback_cmd: str | None, follow: bool) -> int:
    """Take it back from every node it touched, in stages, the nodes where it failed first. Files go to what each node itself
    had before; a command needs --rollback-cmd, here or at its creation. Exit with --follow: 0 when all are back."""
    from corral.cli.lanes import Lanes

    async with session.connect() as fleet:
        if interactive() and not session.yes:
            found = await fleet.rollouts.get(rollout)
            touched = sum(len(stage.nodes) for stage in found.stages if stage.job)
            if touched > ASK_ABOVE_NODES:
                session.confirm(f"Take this back from up to {touched} nodes?")
        steered = await fleet.rollouts.roll_back(rollout, None if rollback_cmd is None else {"shell": rollback_cmd})
        if not follow:
            _show_steered(session, steered)
            return exits.OK
        await Lanes(session).follow(fleet, rollout)
        ended = await fleet.rollouts.get(rollout)
        return exits.OK if ended.state == "rolled_back" else exits.FAILED
