"""`corral audit …`: who did what, and whether the record of it is whole."""

from __future__ import annotations

import sys
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from corral.cli import exits
from corral.cli.options import HELP, Duration, verb
from corral.cli.output.table import render
from corral.cli.output.units import parse_duration, show_time
from corral.cli.session import Session
from corral.domain.errors import Denied, Invalid, NotFound
from corral.sdk.models import parse_time

if TYPE_CHECKING:
    from corral.sdk.fleet import Fleet

command = click.Group("audit", context_settings=HELP, help="The audit record: every write, refusal and sensitive read.")


def _since(session: Session, text: str | None) -> str | None:
    """A time, or a duration before now, as RFC 3339."""
    if text is None:
        return None
    moment = parse_time(text) or session.clock.now() - timedelta(seconds=parse_duration(text, element="since"))
    return moment.isoformat()


@verb(
    command,
    "list",
    examples=(
        "corral audit list",
        "corral audit list --outcome denied --since 24h",
        "corral audit list --actor ada --action jobs --node web-1",
        "corral audit list --job J01ABC -o json",
    ),
    short_help="What happened, the newest first.",
)
@click.option("--actor", metavar="NAME", help="Only what this user or token did.")
@click.option("--action", metavar="TEXT", help="Only actions that contain this, such as jobs or 'DELETE'.")
@click.option(
    "--outcome", type=click.Choice(["ok", "failed", "denied", "unauthenticated", "asked"]), help="Only these."
)
@click.option("--since", metavar="TIME", help="Not before then: a time, or a duration such as 24h.")
@click.option("--until", metavar="TIME", help="Before then.")
@click.option("--node", metavar="NODE", help="Only about this node, jobs that ran there included.")
@click.option("--job", metavar="JOB", help="Only about this job.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most this many.")
async def list_entries(session: Session, since: str | None, until: str | None, limit: int, **only: Any) -> None:
    """What happened, the newest first."""
    async with session.connect() as fleet:
        entries = await fleet.audit.list(
            since=_since(session, since), until=_since(session, until), limit=limit, **only
        )

    def table(wide: bool) -> str:
        lines: list[list[object]] = []
        for entry in entries:
            more = [entry.get("status"), entry.get("address"), entry.get("request_id")] if wide else []
            when = show_time(parse_time(entry.get("at")))
            about = entry.get("job") or entry.get("target")
            lines.append(
                [entry.get("id"), when, entry.get("actor"), entry.get("outcome"), entry.get("action"), *more, about]
            )
        extra = ["STATUS", "FROM", "REQUEST"] if wide else []
        headers = ["ENTRY", "TIME", "WHO", "OUTCOME", "ACTION", *extra, "ABOUT"]
        return render(headers, lines, columns=session.columns()) if lines else "nothing recorded"

    session.show([dict(entry) for entry in entries], names=[str(entry.get("id")) for entry in entries], table=table)


@verb(command, "show", examples=("corral audit show 1234", "corral audit show 1234 -o json"))
@click.argument("entry", type=click.IntRange(min=1))
async def show(session: Session, entry: int) -> None:
    """One entry, everything it says; of a submission also its job, the tasks and what they printed."""
    async with session.connect() as fleet:
        found = await fleet.audit.show(entry)
        job = await _job(fleet, str(found.get("job") or ""))

    def table(wide: bool) -> str:
        details = dict(found.get("details") or {})
        rows = {key: value for key, value in found.items() if key != "details" and value not in ("", None)} | details
        width = max(map(len, rows))
        text = "\n".join(f"{key:<{width}}  {value}" for key, value in rows.items())
        if job is None:
            return text
        from corral.cli.output.jobs import job_page

        page = job_page(session, job, wide=wide, with_output=True)
        return f"{text}\n\n{page}\nreplay: corral audit replay {job.job}"

    from corral.cli.watch import job_json

    data = dict(found) if job is None else {**found, "submitted": job_json(job)}
    session.show(data, names=[str(entry)], table=table)


async def _job(fleet: Fleet, job: str) -> Any:
    """With its output; None when there is none any more, or none that this caller may see."""
    if not job:
        return None
    try:
        return await fleet.jobs.get(job, with_output=True)
    except (NotFound, Denied):
        return None


@verb(
    command,
    "verify",
    examples=(
        "corral audit verify",
        "corral audit verify --file audit.jsonl                     without any server",
        "corral audit verify --file audit.jsonl --key k1a2b3c4=BASE64",
        "",
        "Exit: 0 the record is whole · 1 it is not: the first entry that is wrong is named, and how",
    ),
    short_help="Prove that nothing was altered, removed, inserted or reordered.",
)
@click.option("--file", "path", metavar="FILE", help="An export instead of the server's record, - for stdin.")
@click.option(
    "--key", "keys", multiple=True, metavar="ID=KEY", help="Trust this public key alone (with --file; repeat)."
)
async def verify(session: Session, path: str | None, keys: tuple[str, ...]) -> int:
    """Prove that nothing was altered, removed, inserted or reordered, from the first entry kept to the signed head."""
    if path is not None:
        return _show_verdict(session, _of_file(path, keys))
    if keys:
        raise Invalid("cannot use --key without --file: the server knows its own keys", element="key")
    verdict: dict[str, Any] = {}
    async with session.connect() as fleet:
        async with aclosing(fleet.audit.verify()) as parts:
            async for part in parts:
                verdict = dict(part)
                if "ok" not in part:
                    session.note(f"{part['checked']} of {part['total']} entries hold")
    return _show_verdict(session, verdict)


def _of_file(path: str, keys: tuple[str, ...]) -> dict[str, Any]:
    from corral.sdk.audit import prove

    given = dict(_key(text) for text in keys) or None
    try:
        file = sys.stdin.buffer if path == "-" else open(path, "rb")  # noqa: SIM115  # stdin must stay open
    except OSError as error:
        raise Invalid(f"cannot read {path!r}: {error.strerror}", element="file") from None
    try:
        proof = prove(file, keys=given)
    finally:
        if path != "-":
            file.close()
    found = proof.found
    return {
        "ok": proof.ok,
        "checked": proof.checked,
        "first": proof.first,
        "last": proof.last,
        "head": proof.head,
        "keys": dict(proof.keys),
        "fault": None if found is None else found.fault.value,
        "sequence": None if found is None else found.sequence,
        "entry": None if found is None else found.entry,
        "why": None if found is None else found.why,
    }


def _key(text: str) -> tuple[str, bytes]:
    import base64

    name, eq, value = text.partition("=")
    try:
        key = base64.b64decode(value, validate=True)
    except ValueError:
        key = b""
    if not eq or not name or len(key) != 32:
        raise Invalid(f"cannot read key {text[:60]!r}: expected ID= and 32 bytes in base64", element="key")
    return name, key


def _show_verdict(session: Session, verdict: dict[str, Any]) -> int:
    def table(wide: bool) -> str:
        if verdict["ok"]:
            span = f" (sequence {verdict['first']} to {verdict['last']})" if verdict["checked"] else ""
            lines = [f"whole: {verdict['checked']} entries{span}, head {verdict['head'][:16]}"]
            if verdict.get("unsealed"):
                lines.append(f"{verdict['unsealed']} entries are younger than the last seal")
            lines += [f"signed by {name}, {key}" for name, key in verdict.get("keys", {}).items()]
            return "\n".join(lines)
        entry = "" if verdict["entry"] is None else f", entry {verdict['entry']}"
        return f"NOT WHOLE: {verdict['fault']} at sequence {verdict['sequence']}{entry}: {verdict['why']}"

    session.show(verdict, names=["whole" if verdict["ok"] else str(verdict["fault"])], table=table)
    return exits.OK if verdict["ok"] else exits.FAILED


@verb(
    command,
    "export",
    formats=False,
    examples=(
        "corral audit export > audit.jsonl",
        "corral audit export --since 2026-11-01T00:00:00Z --until 2026-12-01T00:00:00Z > november.jsonl",
        "corral audit verify --file november.jsonl",
    ),
    short_help="The sealed record as JSON lines that prove themselves.",
)
@click.option("--since", metavar="TIME", help="Not before then: a time, or a duration such as 24h.")
@click.option("--until", metavar="TIME", help="Before then, and on to the next signed head.")
async def export(session: Session, since: str | None, until: str | None) -> int:
    """The sealed record as JSON lines: entries with their hashes, signed heads, our public keys."""
    async with session.connect() as fleet:
        chunks = fleet.audit.export(since=_since(session, since), until=_since(session, until))
        async with aclosing(chunks) as parts:
            async for part in parts:
                sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
    return exits.OK


@verb(
    command,
    "replay",
    formats=False,
    examples=(
        "corral audit replay J01ABC",
        "corral audit replay J01ABC --node web-1 --speed 4",
        "corral audit replay J01ABC --from 30s --to 1m",
    ),
    short_help="What a job printed, in the time it took.",
)
@click.argument("job")
@click.option("--node", metavar="NODE", help="Only this node.")
@click.option("--speed", type=click.FloatRange(min=0.01), default=1.0, show_default=True, help="So many times as fast.")
@click.option("--from", "begin", type=Duration(), help="Begin so long after the first start.")
@click.option("--to", "end", type=Duration(), help="End so long after the first start.")
async def replay(
    session: Session, job: str, node: str | None, speed: float, begin: float | None, end: float | None
) -> int:
    """What a job printed, in the time it took, with the beginning and end of every task. Ctrl-C stops it."""
    from corral.cli.replay import replay as play

    async with session.connect() as fleet:
        return await play(session, fleet, job, node, speed=speed, begin=begin or 0.0, end=end)
