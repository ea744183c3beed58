"""`corral sql …`: run SQL from nodes over a stored connection, and have it reviewed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from corral.cli import exits
from corral.cli.commands.exec import read_input
from corral.cli.filetask import limits
from corral.cli.options import HELP, Duration, verb
from corral.cli.session import Session
from corral.domain.errors import Denied, Invalid

if TYPE_CHECKING:
    from corral.sdk.sql import SqlReview, SqlStatement

ENGINES: Final = ("postgres", "mysql", "mariadb", "clickhouse")
COLOURS: Final = {"error": "31", "approval": "33", "warning": "33", "note": ""}

command = click.Group(
    "sql", context_settings=HELP, help="Run SQL from nodes over a stored connection, and have it reviewed."
)


def sql_text(words: tuple[str, ...], file: str | None) -> str:
    """The SQL as typed or from a file; raises Invalid for both, none, or what is no text."""
    if bool(words) == (file is not None):
        raise Invalid(
            f"cannot tell what to run: expected SQL or --file, got {'both' if words else 'none'}",
            element="sql",
            hint="example: corral sql run -t db-1 -c orders 'select count(*) from orders'",
        )
    if file is None:
        return " ".join(words)
    try:
        return read_input(file, "file").decode()
    except UnicodeDecodeError:
        raise Invalid(f"cannot run {file!r}: SQL is text in UTF-8", element="file") from None


async def engine_of(fleet: Any, connection: str, engine: str | None) -> str:
    """The engine as given, or as the stored connection says. Raises NotFound, Invalid."""
    if engine is not None:
        return engine
    try:
        found = str((await fleet.connections.show(connection))["engine"])
    except Denied as error:
        error.hint = "name the engine yourself: --engine postgres, mysql, mariadb or clickhouse"
        raise
    if found not in ENGINES:
        raise Invalid(f"cannot run SQL over connection {connection!r}: its engine is {found}", element="connection")
    return found


@verb(
    command,
    "run",
    confirms=True,
    examples=(
        "corral sql run -t db-1 -c orders --read-only 'select state, count(*) from orders group by state'",
        "corral sql run -t db-1 -c orders -f fix.sql --dry-run",
        "corral sql run -t db-1 -c orders -f fix.sql --explain",
        "corral sql run -t db-1 -c orders --read-only --format csv 'select * from prices' > prices.csv",
        "corral sql run -t 'db-*' -c local --arg 17 'delete from carts where customer = $1'",
        "corral sql run --engine mysql --review-only -f migration.sql",
        "",
        "The server splits and reviews the text first: an error refuses it, what needs approval waits for a second person.",
        "Exit: as exec run; with --review-only 0 clean, 1 something is refused or needs approval.",
    ),
    short_help="Run SQL from the nodes a selector picks.",
)
@click.argument("words", metavar="[SQL]", nargs=-1)
@click.option("-f", "--file", metavar="FILE", help="SQL of a file, - for stdin.")
@click.option("-c", "--connection", metavar="NAME", help="The stored connection to use (corral connection list).")
@click.option("--engine", type=click.Choice(ENGINES), help="Default: that of the connection.")
@click.option("--read-only", is_flag=True, help="The database itself refuses every change.")
@click.option("--dry-run", is_flag=True, help="Run it in a transaction, say what changed, roll back.")
@click.option("--explain", is_flag=True, help="Show plans and estimated rows; run nothing.")
@click.option("--review-only", is_flag=True, help="Only say what the review finds; no node is asked.")
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), help="How rows are printed (table).")
@click.option("--row-cap", type=click.IntRange(1, 100_000), metavar="N", help="Rows shown of a statement (1000).")
@click.option("--statement-timeout", type=Duration(), help="The database ends a statement then (default 60s).")
@click.option("--arg", "arguments", multiple=True, metavar="VALUE", help="A placeholder's value, as text (repeat).")
@click.option("--live/--no-live", default=None, help="Stream output (default: up to 50 nodes).")
@limits
async def run(
    session: Session,
    words: tuple[str, ...],
    file: str | None,
    connection: str | None,
    engine: str | None,
    review_only: bool,
    live: bool | None,
    everyone: bool,
    detach: bool,
    **rest: Any,
) -> int:
    """Run SQL from the nodes a selector picks, over a stored connection. Each node connects for itself."""
    text = sql_text(words, file)
    if review_only:
        return await show_review(session, text, engine, connection, read_only=rest["read_only"])
    if not rest.get("target"):
        raise Invalid("cannot run SQL without nodes to run it from", element="target", hint="-t db-1")
    if connection is None:
        raise Invalid(
            "cannot run SQL without a connection", element="connection", hint="-c NAME; corral connection list"
        )
    from corral.cli.kindtask import submit

    async with session.connect() as fleet:
        task = compose(text, connection, await engine_of(fleet, connection, engine), rest)
        return await submit(session, fleet, task, everyone=everyone, detach=detach, live=live)


for _parameter in run.params:
    if _parameter.name == "target":
        _parameter.required = False  # a review asks no node


def compose(text: str, connection: str, engine: str, options: dict[str, Any]) -> Any:
    """The submission that the options describe; raises Invalid for what does not go together."""
    from corral.sdk.sql import sql_task

    explain, dry_run = options.pop("explain"), options.pop("dry_run")
    if explain and dry_run:
        raise Invalid(
            "cannot both explain and try it", element="explain", hint="--explain runs nothing, --dry-run rolls back"
        )
    params = {
        "mode": "explain" if explain else None,
        "read_only": options.pop("read_only") or None,
        "format": options.pop("form"),
        "row_cap": options.pop("row_cap"),
        "statement_timeout_seconds": options.pop("statement_timeout"),
        "arguments": list(options.pop("arguments")) or None,
    }
    return sql_task(
        text,
        on=options.pop("target"),
        connection=connection,
        engine=engine,
        dry_run=True if dry_run else None,
        **params,
        **options,
    )


@verb(
    command,
    "review",
    examples=(
        "corral sql review --engine mysql -f migration.sql",
        "corral sql review -c orders 'delete from orders'",
        "corral sql review --engine postgres -f fix.sql -o json | jq '.statements[].findings'",
        "",
        "Exit: 0 clean · 1 something is refused or needs approval · 2 usage, or it cannot be read at all",
    ),
    short_help="Say what the review finds in SQL; nothing is run.",
)
@click.argument("words", metavar="[SQL]", nargs=-1)
@click.option("-f", "--file", metavar="FILE", help="SQL of a file, - for stdin.")
@click.option("--engine", type=click.Choice(ENGINES), help="Default: that of the connection.")
@click.option("-c", "--connection", metavar="NAME", help="Judge by the rules of this connection.")
@click.option("--read-only", is_flag=True, help="As for a read-only task.")
async def review(
    session: Session,
    words: tuple[str, ...],
    file: str | None,
    engine: str | None,
    connection: str | None,
    read_only: bool,
) -> int:
    """Split SQL and judge each statement by the rules of a connection, or by the default rules. Nothing is run."""
    return await show_review(session, sql_text(words, file), engine, connection, read_only=read_only)


async def show_review(
    session: Session, text: str, engine: str | None, connection: str | None, *, read_only: bool
) -> int:
    if engine is None and connection is None:
        raise Invalid("cannot review SQL of an unknown engine", element="engine", hint="--engine mysql, or -c NAME")
    async with session.connect() as fleet:
        found = await fleet.sql.review(text, engine=engine, connection=connection, read_only=read_only)
    session.show(
        dict(found.raw),
        names=[str(one.number) for one in found.statements if one.findings],
        table=lambda wide: review_page(session, found, wide=wide),
    )
    return exits.OK if found.clean else exits.FAILED


def review_page(session: Session, found: SqlReview, *, wide: bool) -> str:
    """Each statement with what was found, and the verdict on all."""
    import sys

    lines = []
    for one in found.statements:
        lines.append(_headline(one, wide=wide))
        for finding in one.findings:
            level = session.paint(finding.level, COLOURS.get(finding.level, ""), sys.stdout)
            lines.append(
                f"   {level}: {finding.message} [{finding.rule}]"
                + (f"; {finding.hint}" if wide and finding.hint else "")
            )
    verdict = {"error": "would be refused", "approval": "would wait for approval"}.get(found.worst, "would run")
    count = len(found.statements)
    lines.append(f"{count} statement{'' if count == 1 else 's'}: {verdict}")
    return "\n".join(lines)


def _headline(one: SqlStatement, *, wide: bool) -> str:
    from corral.cli.output.terminal import clean

    text = " ".join(one.text.split())
    text = text if wide or len(text) <= 100 else text[:99] + "…"
    return f"{one.number}. [{'changes' if one.changes else 'reads'}] {clean(text, colour=False)}"
