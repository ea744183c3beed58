"""`corral system …`: the control plane. What runs on the server's own machine is handed to the server's programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corral.cli.lazy import Entry, LazyGroup
from corral.cli.options import HELP, verb
from corral.cli.output.terminal import cell
from corral.cli.session import Session

PROGRAMS = {
    "init": Entry("corral.server.setup.main", "Make CA, certificates, keys and configuration.", program=True),
    "backup": Entry("corral.server.setup.main", "Copy database, keys and objects into one file.", program=True),
    "restore": Entry("corral.server.setup.main", "Bring a backup back.", program=True),
}

command = LazyGroup("system", context_settings=HELP, help="The control plane: its state and its setup.")


@verb(command, "status", examples=("corral system status", "corral system status -o json"))
async def status(session: Session) -> None:
    """How the server, its engine and its database are."""
    async with session.connect() as fleet:
        answer = await fleet.system.status()
        url = fleet.context.url
    text = "\n".join([f"server   {url}", *tree(answer)])
    session.show(answer, names=[str(answer.get("version", ""))], table=lambda wide: text)


def tree(data: Mapping[str, Any], indent: str = "") -> list[str]:
    """Nested answers as indented lines."""
    lines: list[str] = []
    for key, value in data.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{cell(key)}", *tree(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines.append(f"{indent}{cell(key)}")
            for item in value:
                lines.append(f"{indent}  " + "  ".join(f"{cell(k)}={cell(v)}" for k, v in item.items()))
        else:
            words = {True: "yes", False: "no", None: "-"} if value is None or isinstance(value, bool) else {}
            shown = (
                ", ".join(cell(item) for item in value) if isinstance(value, list) else cell(words.get(value, value))
            )
            lines.append(f"{indent}{cell(key):<{max(1, 8 - len(indent))}} {shown}")
    return lines
