"""`corral system …`: the control plane. What runs on the server's own machine is handed to the server's programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
}
"""Verbs in files of their own, loaded when used."""

command = LazyGroup("system", entries=VERBS, context_settings=HELP, help="The control plane: its state and its setup.")


@verb(command, "status", examples=("corral system status", "corral system status -o json"))
async def status(session: Session) -> None:
    """How the server, its engine and its database are."""
    async with session.connect() as fleet:
        answer = await fleet.system.status()
        url = fleet.context.url
    text = "\n".join([f"server   {url}", *tree(answer)])
    session.show(answer, names=[str(answer.get("version", ""))], table=lambda wide: text)


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
