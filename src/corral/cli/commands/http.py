"""`corral http`: one HTTP request from each of the nodes; the short form of `corral task run http`."""

from __future__ import annotations

from typing import Any

import click

from corral.cli.commands.exec import read_input
from corral.cli.filetask import limits
from corral.cli.kindtask import submit
from corral.cli.options import verb
from corral.cli.session import Session
from corral.cli.taskparams import assertion, parsed
from corral.domain.errors import Invalid


@verb(
    None,
    "http",
    confirms=True,
    examples=(
        "corral http GET https://app.example/health -t 'web-*' --assert '$.status == \"up\"'",
        "corral http https://10.0.0.5:8443/ -t bastion --insecure --expect 200,401",
        "corral http POST https://api.example/flush -t ops-1 -H 'Authorization: Bearer {{ secret.API }}' --json '{\"all\": true}'",
        "",
        "Assertions: '$.a == 1' · '$.b[0] =~ \"^x\"' · '$.c >= 2' · '$.d contains \"e\"' · '$.f' is there · '!$.g' is not",
    ),
    short_help="One HTTP request from the nodes a selector picks, and what must be true of the answer.",
)
@click.argument("words", metavar="[METHOD] URL", nargs=-1, required=True)
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header (repeat).")
@click.option("--json", "json_body", metavar="TEXT|@FILE", help="Send this JSON.")
@click.option("--body", metavar="TEXT|@FILE", help="Send this as it is.")
@click.option("--expect", metavar="CODE,...", help="Accepted status: 200, 200-299, 2xx (default 2xx).")
@click.option("--assert", "assertions", multiple=True, metavar="EXPR", help="Must be true of the JSON (repeat).")
@click.option("--follow", type=click.IntRange(0, 10), metavar="N", help="Follow at most N redirects (default 0).")
@click.option("--max-time", type=click.FloatRange(0.1, 3600), metavar="SECONDS", help="For the request (default 30).")
@click.option("--insecure", is_flag=True, help="Take any certificate.")
@click.option("--tls-ca", metavar="PATH", help="Trust this PEM file on the node.")
@click.option("--save-body", is_flag=True, help="Keep the answer in the task's result.")
@click.option("--dry-run", is_flag=True, help="Have the nodes say where they would send it.")
@click.option("--live/--no-live", default=None, help="Stream output (default: up to 50 nodes).")
@limits
async def command(
    session: Session,
    words: tuple[str, ...],
    dry_run: bool,
    live: bool | None,
    everyone: bool,
    detach: bool,
    **rest: Any,
) -> int:
    """One HTTP request from the nodes a selector picks, and what must be true of the answer."""
    from corral.sdk.jobs import KindTask

    params = compose(words, rest)
    task = KindTask(kind="http", params=params, dry_run=True if dry_run else None, **rest)
    async with session.connect() as fleet:
        return await submit(session, fleet, task, everyone=everyone, detach=detach, live=live)


def compose(words: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
    """The params that the options describe; takes those that are about the request out of `options`. Raises Invalid."""
    if len(words) > 2:
        raise Invalid(f"cannot ask {' '.join(words)!r}: expected a method and a URL", element="url")
    body, json_body = options.pop("body"), options.pop("json_body")
    method = words[0].upper() if len(words) == 2 else "GET" if body is None and json_body is None else "POST"
    params: dict[str, Any] = {"method": method, "url": words[-1]}
    if headers := dict(map(_header, options.pop("headers"))):
        params["headers"] = headers
    if body is not None:
        params["body"] = _text(body, "body")
    if json_body is not None:
        params["json"] = parsed(_text(json_body, "json").encode(), yaml=False, element="json")
    if expect := options.pop("expect"):
        params["expect_status"] = [part.strip() for part in expect.split(",") if part.strip()]
    if assertions := [assertion(text) for text in options.pop("assertions")]:
        params["assertions"] = assertions
    for option, name in (("follow", "follow_redirects"), ("max_time", "timeout_seconds")):
        if (value := options.pop(option)) is not None:
            params[name] = value
    tls = {"verify": False} if options.pop("insecure") else {}
    ca_file = options.pop("tls_ca")
    if tls or ca_file:
        params["tls"] = {**tls, **({"ca_file": ca_file} if ca_file else {})}
    if options.pop("save_body"):
        params["save_body"] = True
    return params


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise Invalid(f"cannot read header {text!r}: expected 'NAME: VALUE'", element="header")
    return name.strip(), value.strip()


def _text(text: str, element: str) -> str:
    """What was typed, or a file's content behind @."""
    if not text.startswith("@"):
        return text
    try:
        return read_input(text[1:], element).decode()
    except UnicodeDecodeError:
        raise Invalid(f"cannot send {text[1:]!r}: it is no text in UTF-8", element=element) from None
