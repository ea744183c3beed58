"""`corral agent …`: verbs that run on a node belong to the agent itself; those of an administrator are here."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

from corral.cli import exits
from corral.cli.commands.node import pick_presence, show_list
from corral.cli.lazy import Entry, LazyGroup
from corral.cli.options import HELP, target, verb
from corral.cli.session import Session


def _on_node(verb: str, help: str) -> Entry:
    return Entry("corral.agent.main", f"On the node: {help}", program=True, words=(verb,))


ON_NODE = {
    "enroll": _on_node("enroll", "join a fleet with a token."),
    "status": _on_node("status", "how its agent is."),
    "daemon": _on_node("daemon", "run the daemon."),
    "worker": _on_node("worker", "run the worker."),
    "renew": _on_node("renew", "renew its credential."),
}

command = LazyGroup("agent", entries=ON_NODE, context_settings=HELP, help="The agent of a node.")


@verb(command, "list", examples=("corral agent list", "corral agent list --online -o name"))
@target(required=False, help="Only what this selector picks.")
@click.option("--online", "--is-online", is_flag=True, help="Only those online.")
@click.option("--offline", is_flag=True, help="Only those offline.")
async def list_agents(session: Session, target: str | None, online: bool, offline: bool) -> None:
    """The same as `corral node list`."""
    await show_list(session, target, pick_presence(online, offline))


@verb(
    command,
    "remove",
    confirms=True,
    formats=False,
    examples=("corral agent remove web-9", "corral agent remove web-9 --force"),
)
@click.argument("node")
@click.option("--force", is_flag=True, help="Also when something still uses it.")
async def remove(session: Session, node: str, force: bool) -> int:
    """Forget a node at the server. To delete the agent's files, stop its units and remove its state directory."""
    session.confirm(f"Remove {node}? Its open tasks become lost.")
    async with session.connect() as fleet:
        await fleet.nodes.remove(node, force=force)
    session.note(f"{node}: removed; on the node: systemctl disable --now corral-daemon corral-worker")
    return exits.OK


@verb(
    command,
    "bundle",
    formats=False,
    server=False,
    examples=("corral agent bundle", "corral agent bundle --out corral-agent.pyz"),
)
@click.option("--out", metavar="FILE", default="corral-agent.pyz", show_default=True, help="Where to write it.")
async def bundle(session: Session, out: str) -> int:
    """Build the agent as one file that runs with any Python 3.11+ (python3 corral-agent.pyz agent enroll …)."""
    made = importlib.import_module("corral.agent.bundle").build_bundle(Path(out))
    session.out(str(made or out))
    return exits.OK
