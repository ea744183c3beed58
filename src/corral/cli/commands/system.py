"""`corral system …`: the control plane. What runs on the server's own machine is handed to the server's programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from corral.cli import exits
from corral.cli.lazy import Entry, LazyGroup
from corral.cli.options import HELP, verb
from corral.cli.output.nodes import scalar
from corral.cli.output.terminal import cell
from corral.cli.session import Session

VERBS: dict[str, Entry] = {
    "init": Entry(
        "corral.cli.commands.system_init", "Make CA, certificates, keys and configuration of a server.", "init"
    ),
    "backup": Entry("corral.cli.commands.system_backup", "Write everything a control plane is to one file.", "backup"),
    "restore": Entry("corral.cli.commands.system_backup", "Make a data directory from a backup.", "restore"),
    "engine-config": Entry(
        "corral.cli.commands.system_init", "Print the configuration of an engine that runs elsewhere.", "engine_config"
    ),
    "install": Entry("corral.cli.commands.system_service", "Make the server a service of this machine.", "install"),
    "enable": Entry("corral.cli.commands.system_service", "Start it whenever the machine starts.", "enable"),
    "start": Entry("corral.cli.commands.system_service", "Start the service.", "start"),
    "stop": Entry("corral.cli.commands.system_service", "Stop the service.", "stop"),
    "restart": Entry("corral.cli.commands.system_service", "Stop and start the service.", "restart"),
    "logs": Entry("corral.cli.commands.system_service", "What the service has logged.", "logs"),
    "uninstall": Entry("corral.cli.commands.system_service", "Remove the service; its data stays.", "uninstall"),
}
"""Verbs in files of their own, loaded when used."""

command = LazyGroup("system", entries=VERBS, context_settings=HELP, help="The control plane: its state and its setup.")


@verb(
    command,
    "status",
    examples=("corral system status", "corral system status -o json", "corral system status --service"),
)
@click.option("--service", is_flag=True, help="Ask systemd on this machine instead of the server.")
async def status(session: Session, service: bool) -> int:
    """How the server, its engine and its database are."""
    if service:
        from corral.cli.install import systemd, unit

        return await systemd.systemctl("status", unit.UNIT, "--no-pager")
    async with session.connect() as fleet:
        answer = await fleet.system.status()
        url = fleet.context.url
    text = "\n".join([f"server   {url}", *tree(answer)])
    session.show(answer, names=[str(answer.get("version", ""))], table=lambda wide: text)
    return exits.OK


def tree(data: Mapping[str, Any], indent: str = "") -> list[str]:
    """Nested answers as indented lines; a part of a part on one line."""
    lines: list[str] = []
    wide = max((len(cell(key)) for key in data), default=0)
    for key, value in data.items():
        head = f"{indent}{cell(key):<{wide}}"
        if isinstance(value, Mapping) and not indent:
            lines += [head.rstrip(), *tree(value, "  ")]
        elif isinstance(value, Mapping) and any(isinstance(item, Mapping) for item in value.values()):
            lines += [head.rstrip(), *tree(value, indent + "  ")]
        else:
            lines.append(f"{head}  {scalar(value)}".rstrip())
    return lines
