"""`corral node …`: who is there, in which state, with which labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from corral.cli import exits
from corral.cli.options import HELP, Duration, target, verb
from corral.cli.output.nodes import HEADERS, STRETCH_HEADERS, WIDE_HEADERS, page, rows, stretch_rows
from corral.cli.output.table import render
from corral.cli.session import Session
from corral.domain.errors import Invalid, NothingMatched
from corral.domain.node import parse_labels, relabelling

command = click.Group("node", context_settings=HELP, help="Nodes: who is there, in which state, with which labels.")
ASK_ABOVE_NODES = 20


async def show_list(session: Session, target: str | None, presence: str | None) -> None:
    async with session.connect() as fleet:
        nodes = await fleet.nodes.list(target, presence=presence)
    if target and not nodes:
        which = f"{presence} node" if presence else "node"
        raise NothingMatched(
            f"cannot list nodes: no {which} matches {target!r}", element="selector", hint="corral node list"
        )
    now = session.clock.now()

    def table(wide: bool) -> str:
        if not nodes:
            return f"no nodes {presence}" if presence else "no nodes yet; enrol one: corral token create"
        headers = WIDE_HEADERS if wide else HEADERS
        return render(headers, rows(nodes, now, wide=wide), columns=None if wide else session.columns())

    session.show([dict(node.raw) for node in nodes], names=[node.id for node in nodes], table=table)


def pick_presence(online: bool, offline: bool) -> str | None:
    if online and offline:
        raise Invalid("cannot list nodes that are online and offline", element="online", hint="leave both out for all")
    return "online" if online else "offline" if offline else None


@verb(
    command,
    "list",
    examples=(
        "corral node list",
        "corral node list --offline -o wide",
        'corral node list -t \'labels["role"] == "web"\' -o name',
    ),
)
@target(required=False, help="Only what this selector picks.")
@click.option("--online", is_flag=True, help="Only those online.")
@click.option("--offline", is_flag=True, help="Only those offline.")
async def list_nodes(session: Session, target: str | None, online: bool, offline: bool) -> None:
    """Nodes and whether they are online; -t shows what a selector picks."""
    await show_list(session, target, pick_presence(online, offline))


@verb(command, "show", examples=("corral node show web-1", "corral node show web-1 -o json"))
@click.argument("node")
async def show(session: Session, node: str) -> None:
    """One node: presence, labels, groups, facts."""
    async with session.connect() as fleet:
        found = await fleet.nodes.get(node)
    now = session.clock.now()
    session.show(dict(found.raw), names=[found.id], table=lambda wide: page(found, now))


def _show_rows(
    session: Session,
    found: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    headers: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    empty: str,
) -> None:
    def table(wide: bool) -> str:
        return render(headers, rows, columns=None if wide else session.columns()) if rows else empty

    session.show([dict(entry) for entry in found], names=names, table=table)


@verb(command, "presence", examples=("corral node presence web-1", "corral node presence web-1 --limit 500 -o json"))
@click.argument("node")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, help="How many changes, newest first (default 20)."
)
async def presence(session: Session, node: str, limit: int) -> None:
    """When the node was there, and why it was not."""
    async with session.connect() as fleet:
        found = await fleet.nodes.presence(node, limit=limit)
    now = session.clock.now()
    names = [entry["since"] for entry in found]
    _show_rows(session, found, names, STRETCH_HEADERS, stretch_rows(found, now), empty=f"{node} was never seen")


@verb(command, "tasks", examples=("corral node tasks web-1", "corral node tasks web-1 --limit 500 -o json"))
@click.argument("node")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, help="How many, newest first (default 20).")
async def tasks(session: Session, node: str, limit: int) -> None:
    """What ran on the node, the newest first."""
    from corral.cli.output.jobs import NODE_TASK_HEADERS, node_task_rows

    async with session.connect() as fleet:
        found = await fleet.jobs.of_node(node, limit=limit)
    now = session.clock.now()
    names = [str(row["job"]["job"]) for row in found]
    _show_rows(session, found, names, NODE_TASK_HEADERS, node_task_rows(found, now), empty=f"nothing ran on {node}")


@verb(command, "files", examples=("corral node files web-1", "corral node files web-1 -o json"))
@click.argument("node")
async def files(session: Session, node: str) -> None:
    """Which files Corral has put on the node, and which revision of each."""
    from corral.cli.output.files import NODE_FILE_HEADERS, node_file_rows

    async with session.connect() as fleet:
        found = await fleet.files.on_node(node)
    now = session.clock.now()
    names = [entry["dest"] for entry in found]
    _show_rows(session, found, names, NODE_FILE_HEADERS, node_file_rows(found, now), empty=f"no file was put on {node}")


@verb(
    command,
    "set",
    confirms=True,
    examples=(
        "corral node set web-1 --labels role=web,env=prod",
        "corral node set -t 'web-*' --labels old- --add-groups canary",
        "corral node set web-1 --groups ''",
    ),
)
@click.argument("node", required=False)
@target(required=False, help="All nodes this selector picks.")
@click.option("--labels", metavar="K=V,...", help="Merge these; 'key-' removes one.")
@click.option("--groups", metavar="G,...", help="Replace the groups by these; '' for none.")
@click.option("--add-groups", metavar="G,...", help="Put into these, leaving the others.")
@click.option("--remove-groups", metavar="G,...", help="Take out of these, leaving the others.")
async def set_node(
    session: Session,
    node: str | None,
    target: str | None,
    labels: str | None,
    groups: str | None,
    add_groups: str | None,
    remove_groups: str | None,
) -> None:
    """Change labels and groups, of offline nodes too."""
    if (node is None) == (target is None):
        raise Invalid(
            "cannot tell which node: give its id or -t SELECTOR", element="node", hint="corral node set --help"
        )
    given = {"groups": groups, "add_groups": add_groups, "remove_groups": remove_groups}
    changes: dict[str, Any] = {name: _names(text) for name, text in given.items() if text is not None}
    if labels is not None:
        merge, gone = parse_labels(labels)
        changes["labels"] = {**merge, **dict.fromkeys(sorted(gone))}
    relabelling(**changes).check()
    async with session.connect() as fleet:
        if node is not None:
            changed = [await fleet.nodes.set(node, **changes)]
        else:
            assert target is not None
            picked = await fleet.nodes.resolve(target)
            if len(picked.nodes) > ASK_ABOVE_NODES:
                session.confirm(f"Change {len(picked.nodes)} nodes?")
            changed = list(await fleet.nodes.set_all(target, **changes))
    now = session.clock.now()
    session.show(
        [dict(item.raw) for item in changed],
        names=[item.id for item in changed],
        table=lambda wide: render(HEADERS, rows(changed, now, wide=False), columns=session.columns()),
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@verb(
    command,
    "remove",
    confirms=True,
    formats=False,
    examples=("corral node remove web-9", "corral node remove web-9 --force --yes"),
)
@click.argument("nodes", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Also when something still uses it.")
async def remove(session: Session, nodes: tuple[str, ...], force: bool) -> int:
    """Forget nodes and cut their connections at once."""
    session.confirm(f"Remove {', '.join(nodes[:5])}{' …' if len(nodes) > 5 else ''}? Its open tasks become lost.")
    async with session.connect() as fleet:
        for node in nodes:
            await fleet.nodes.remove(node, force=force)
            session.note(f"{node}: removed")
    return exits.OK


@verb(
    command,
    "revoke",
    confirms=True,
    formats=False,
    examples=("corral node revoke web-9 --reason 'disk stolen'", "corral node revoke web-9 --reason test --yes"),
)
@click.argument("node")
@click.option("--reason", required=True, help="Shown to everybody who asks why.")
async def revoke(session: Session, node: str, reason: str) -> int:
    """Cut a node off now; it stays listed, and its credential is worth nothing."""
    session.confirm(f"Revoke {node}?")
    async with session.connect() as fleet:
        await fleet.nodes.revoke(node, reason)
    session.note(f"{node}: revoked; to let it enrol again: corral node reset {node}")
    return exits.OK


@verb(command, "reset", confirms=True, formats=False, examples=("corral node reset web-9",))
@click.argument("node")
async def reset(session: Session, node: str) -> int:
    """Let a known id enrol again with a new key (a reinstalled machine)."""
    session.confirm(f"Let {node} enrol again with another key?")
    async with session.connect() as fleet:
        await fleet.nodes.reset(node)
    session.note(f"{node}: reset; enrol it with a new token: corral token create --node-id {node}")
    return exits.OK


@verb(
    command,
    "top",
    examples=("corral node top", "corral node top -t 'web-*' --watch", "corral node top web-1 -o json"),
)
@click.argument("nodes", nargs=-1)
@target(required=False, help="Only what this selector picks.")
@click.option("--watch", is_flag=True, help="Again and again until Ctrl-C.")
@click.option("--interval", type=Duration(), default=5.0, help="With --watch (default 5s).")
async def top(session: Session, nodes: tuple[str, ...], target: str | None, watch: bool, interval: float) -> int:
    """How busy the nodes are: their newest samples."""
    from corral.cli.top import show_top

    return await show_top(session, nodes, target, interval if watch else None)
