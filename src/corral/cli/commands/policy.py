"""`corral policy …`: which commands may run, and what the rules would say of one."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from corral.cli import exits
from corral.cli.options import HELP, target, verb
from corral.cli.output.table import render
from corral.cli.session import Session
from corral.domain.errors import Denied, Invalid

command = click.Group(
    "policy",
    context_settings=HELP,
    help="The command policy: list, set, move, remove, mode, import, export, reset, test. A guard rail: the user a task runs as "
    "is the boundary (docs/policy.md).",
)
IF_MATCH = click.option("--if-match", type=int, metavar="REVISION", help="Only when the policy is at this revision.")


def _match(rule: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={','.join(values)}" for key, values in rule["match"].items())


def _table(policy: Mapping[str, Any], session: Session, *, wide: bool) -> str:
    head = f"revision {policy['revision']}, mode {policy['mode']}, changed by {policy['changed_by']}"
    rows: list[list[object]] = [
        [
            number,
            rule["id"],
            rule["effect"],
            _match(rule) if wide or len(_match(rule)) <= 60 else _match(rule)[:59] + "…",
            ",".join(rule["roles"]) or "everybody",
            rule["selector"],
            rule["comment"],
        ]
        for number, rule in enumerate(policy["rules"], 1)
    ]
    if not rows:
        return head + "\nno rules"
    titles = ["#", "RULE", "EFFECT", "MATCH", "ROLES", "NODES", "COMMENT"]
    return head + "\n" + render(titles, rows, columns=None if wide else session.columns())


def _show(session: Session, policy: Mapping[str, Any]) -> None:
    session.show(
        dict(policy),
        names=[str(rule["id"]) for rule in policy["rules"]],
        table=lambda wide: _table(policy, session, wide=wide),
    )


def _changed(session: Session, policy: Mapping[str, Any], what: str) -> int:
    session.note(f"{what}; the policy is at revision {policy['revision']}")
    return exits.OK


@verb(command, "list", examples=("corral policy list", "corral policy list -o wide"), short_help="The rules, in order.")
async def list_rules(session: Session) -> None:
    """The rules in the order in which they are asked: of each command the first one that matches decides."""
    async with session.connect() as fleet:
        _show(session, await fleet.policy.get())


@verb(
    command,
    "set",
    formats=False,
    examples=(
        "corral policy set no-apt --deny --program 'apt*' --comment 'packages come by image'",
        "corral policy set clean-cache --allow --program rm --removes '/opt/app/cache/**' --position 1",
        "corral policy set restart --allow --argv 'systemctl restart nginx*'",
        'corral policy set db-needs-two --approval --program psql -t \'labels["env"] == "prod"\' --role operator',
    ),
    short_help="Add a rule, or replace the one of that name.",
)
@click.argument("rule")
@click.option("--deny", "effect", flag_value="deny", help="Refuse what matches.")
@click.option(
    "--allow",
    "effect",
    flag_value="allow",
    help="An exception from later deny rules; what may run at all in an allow list.",
)
@click.option("--approval", "effect", flag_value="approval", help="Wait for a second person.")
@click.option(
    "--program", multiple=True, metavar="GLOB", help="Base name of the command, behind sudo, env, sh -c and the like."
)
@click.option(
    "--arg", "args", multiple=True, metavar="GLOB", help="One of its arguments (of an allow rule: every one)."
)
@click.option("--argv", metavar="WORDS", help="Program and arguments one by one, each a glob; a last ** is any rest.")
@click.option("--removes", multiple=True, metavar="PATH", help="Removes this recursively; /x/** = /x and all below.")
@click.option(
    "--changes", multiple=True, metavar="PATH", help="Changes rights or owner of this recursively, or moves it away."
)
@click.option("--writes", multiple=True, metavar="GLOB", help="Writes to it by redirection, tee or dd.")
@click.option("--fed-by", multiple=True, metavar="GLOB", help="Is fed the output of this program.")
@click.option("--text", multiple=True, metavar="GLOB", help="The whole text.")
@click.option(
    "--role", "roles", multiple=True, metavar="ROLE", help="Only for who has this role (decided by the server alone)."
)
@target(required=False, help="Only on these nodes (ids, labels, groups; never facts).")
@click.option("--comment", metavar="TEXT", help="Why it is there.")
@click.option("--position", type=int, metavar="N", help="Where, from 1; default: where it was, or last.")
@IF_MATCH
async def set_rule(
    session: Session,
    rule: str,
    effect: str | None,
    argv: str | None,
    roles: tuple[str, ...],
    target: str | None,
    comment: str | None,
    position: int | None,
    if_match: int | None,
    **globs: tuple[str, ...],
) -> int:
    """Add a rule or replace it. Everything given about the match has to hold; a list of one option matches by any of it."""
    if effect is None:
        raise Invalid("cannot set a rule: what does it do?", element="effect", hint="--deny, --allow or --approval")
    match = {key: list(values) for key, values in globs.items() if values}
    if argv is not None:
        match["argv"] = _words(argv)
    if not match:
        raise Invalid("cannot set a rule that matches nothing", element="match", hint="--program reboot, for example")
    body: dict[str, Any] = {"id": rule, "effect": effect, "match": match, "roles": list(roles)}
    body |= {key: value for key, value in (("selector", target), ("comment", comment)) if value}
    async with session.connect() as fleet:
        return _changed(session, await fleet.policy.put(body, position=position, if_match=if_match), f"{rule}: set")


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise Invalid(f"cannot read {text!r} as words: {error}", element="argv") from None


@verb(command, "move", formats=False, examples=("corral policy move clean-cache 1",), short_help="Move a rule.")
@click.argument("rule")
@click.argument("position", type=int)
@IF_MATCH
async def move(session: Session, rule: str, position: int, if_match: int | None) -> int:
    """Put a rule at another position, counted from 1: the first rule that matches decides."""
    async with session.connect() as fleet:
        policy = await fleet.policy.move(rule, position, if_match=if_match)
        return _changed(session, policy, f"{rule}: at position {position}")


@verb(command, "remove", formats=False, examples=("corral policy remove no-apt",), short_help="Remove a rule.")
@click.argument("rule")
@IF_MATCH
async def remove(session: Session, rule: str, if_match: int | None) -> int:
    """Remove a rule, on the server and on every node."""
    async with session.connect() as fleet:
        return _changed(session, await fleet.policy.remove(rule, if_match=if_match), f"{rule}: removed")


@verb(
    command,
    "mode",
    formats=False,
    examples=("corral policy mode allow-list", "corral policy mode deny-list"),
    short_help="Deny list, or allow list.",
)
@click.argument("mode", type=click.Choice(("deny-list", "allow-list")))
@IF_MATCH
async def mode(session: Session, mode: str, if_match: int | None) -> int:
    """deny-list: what no rule refuses may run. allow-list: only commands of plain words that an allow rule matches, no shell text."""
    async with session.connect() as fleet:
        return _changed(session, await fleet.policy.set_mode(mode, if_match=if_match), f"mode {mode}")


@verb(
    command,
    "export",
    formats=False,
    examples=("corral policy export > policy.json",),
    short_help="The policy as a file.",
)
async def export(session: Session) -> int:
    """Mode and rules as JSON, as 'import' takes them."""
    async with session.connect() as fleet:
        policy = await fleet.policy.get()
    rules = [{key: value for key, value in rule.items() if value and value != "all"} for rule in policy["rules"]]
    sys.stdout.write(json.dumps({"mode": policy["mode"], "rules": rules}, indent=1, ensure_ascii=False) + "\n")
    return exits.OK


@verb(
    command,
    "import",
    formats=False,
    examples=("corral policy import policy.json", "corral policy import - --if-match 7 < policy.json"),
    short_help="Replace every rule by those of a file.",
)
@click.argument("file")
@IF_MATCH
async def import_rules(session: Session, file: str, if_match: int | None) -> int:
    """Replace the whole list, and the mode when the file names one. All or nothing."""
    try:
        data = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text())
    except OSError as error:
        raise Invalid(f"cannot read {file!r}: {error.strerror}", element="file") from None
    except ValueError as error:
        raise Invalid(
            f"cannot read {file!r}: {error}", element="file", hint="'corral policy export' writes one"
        ) from None
    rules, mode = (data.get("rules"), data.get("mode")) if isinstance(data, dict) else (data, None)
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise Invalid(f"cannot read {file!r}: expected a list of rules", element="rules")
    async with session.connect() as fleet:
        policy = await fleet.policy.replace(rules, mode=mode, if_match=if_match)
        return _changed(session, policy, f"{len(rules)} rules")


@verb(
    command,
    "reset",
    formats=False,
    confirms=True,
    examples=("corral policy reset --yes",),
    short_help="Begin again with the shipped deny list.",
)
async def reset(session: Session) -> int:
    """Throw every rule away and take the deny list that the server's release ships."""
    session.confirm("Replace every rule by the shipped deny list?")
    async with session.connect() as fleet:
        return _changed(session, await fleet.policy.ship(), "the shipped deny list is in force")


@verb(
    command,
    "test",
    examples=(
        "corral policy test --shell 'find /var/log -name x | xargs rm -f'",
        "corral policy test -- systemctl restart nginx",
        "corral policy test --script deploy.sh -t web-1 --as-role operator",
    ),
    short_help="What would be decided about a command; runs nothing.",
)
@click.argument("words", nargs=-1)
@click.option("--shell", is_flag=True, help="The words are a text for a shell (one word is taken for one anyway).")
@click.option("--script", metavar="FILE", help="Test a script instead.")
@click.option(
    "--interpreter", type=click.Choice(("sh", "bash", "python3", "pwsh")), default="sh", help="Of the script."
)
@click.option("--cwd", metavar="DIR", help="Where it would run.")
@target(required=False, help="As on these nodes; default: the rules that hold on every node.")
@click.option("--as-role", metavar="ROLE", help="As somebody who has only this role.")
async def test(
    session: Session,
    words: tuple[str, ...],
    shell: bool,
    script: str | None,
    interpreter: str,
    cwd: str | None,
    target: str | None,
    as_role: str | None,
) -> int:
    """Which rule would decide, what was understood of the command, and what no rule can see. Exit 5 when it is refused."""
    asked: dict[str, Any] = {"cwd": cwd, "target": target, "role": as_role}
    if script is not None:
        try:
            asked |= {"script": Path(script).read_text(), "interpreter": interpreter}
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"cannot read {script!r}: {error}", element="script") from None
    elif not words:
        raise Invalid("cannot test nothing", element="command", hint="corral policy test -- uptime")
    elif shell or (len(words) == 1 and any(c in words[0] for c in " \t\n;|&$")):
        asked["shell"] = " ".join(words)
    else:
        asked["argv"] = list(words)
    async with session.connect() as fleet:
        found = await fleet.policy.test(**asked)
    session.show(dict(found), names=[], table=lambda wide: _verdict(found))
    return exits.OK if found["allowed"] else Denied.exit_status


def _verdict(found: Mapping[str, Any]) -> str:
    lines = []
    for part in found["judged"]:
        where = (
            f" on {', '.join(part['nodes'][:5])}" + (" …" if len(part["nodes"]) > 5 else "") if part["nodes"] else ""
        )
        if not part["allowed"]:
            lines.append(f"refused{where} by {part['rule']}: {part['why']}")
        elif part["asks"]:
            lines.append(f"waits for approval{where}: rule {part['asks']!r} asks for a second person")
        else:
            lines.append(f"may run{where}")
    lines.append(f"(policy revision {found['revision']}, {found['mode']})")
    lines.append("it was understood as:")
    for seen in found["commands"]:
        line = "  " + (shlex.join(seen["words"]) if seen["words"] else "(only a redirection)")
        line += "" if seen["plain"] else "   [partly known only when it runs]"
        for key, name in (
            ("removes", "removes"),
            ("changes", "changes"),
            ("writes", "writes to"),
            ("fed_by", "is fed by"),
        ):
            line += f"   [{name} {', '.join(seen[key])}]" if seen[key] else ""
        lines.append(line)
    if not found["commands"]:
        lines.append("  (no command)")
    lines.append("no rule can see:")
    lines += [f"  {what}" for what in found["unseen"]]
    return "\n".join(lines)
