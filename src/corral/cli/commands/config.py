"""`corral config show`: which server this command line talks to, as whom, and who said so."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import click

from corral.cli.options import HELP, verb
from corral.cli.output.table import render
from corral.cli.session import Session
from corral.domain.errors import Unsupported

command = click.Group("config", context_settings=HELP, help="Settings in use and where each comes from.")


@verb(
    command,
    "show",
    examples=(
        "corral config show",
        "corral config show --origin",
        "corral config show -o json",
        "corral config show --config /etc/corral/corral.toml --origin   (a server's file)",
    ),
)
@click.option("--origin", is_flag=True, help="Also say where each value comes from.")
@click.option("--config", "file", metavar="FILE", help="Show a server's configuration file instead.")
async def show(session: Session, origin: bool, file: str | None) -> None:
    """Which server this command line talks to and as whom. Secrets are never printed."""
    values, origins = client_settings(session) if file is None else server_settings(Path(file))
    data: dict[str, Any] = dict(values)
    if origin:
        data["origin"] = dict(origins)

    def table(wide: bool) -> str:
        headers = ["SETTING", "VALUE", *(["FROM"] if origin or wide else [])]
        lines = [
            [key, value, *([origins.get(key, "default")] if origin or wide else [])] for key, value in values.items()
        ]
        return render(headers, lines)

    session.show(data, names=[str(values.get("url", ""))], table=table)


def client_settings(session: Session) -> tuple[dict[str, Any], dict[str, str]]:
    context = session.context()
    values = {
        "url": context.url,
        "token": "(set)" if context.token or context.session else None,
        "ca": context.ca,
        "file": str(context.file) if context.file else None,
    }
    origins = {key: context.origin.get(key, "-") for key in values}
    origins["file"] = "found" if context.file else "-"
    return values, origins


def server_settings(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The flat `section.key` settings of a server's file, environment included."""
    try:
        module = importlib.import_module("corral.server.config")
    except ModuleNotFoundError:
        raise Unsupported("cannot read a server's configuration here", hint="pip install 'corral[server]'") from None
    loaded = module.load_server_config(file=path, env=os.environ)
    values = {item.key: _plain(item.value) for item in loaded.settings}
    url = str(values.get("server.public_url") or "")
    values["url"] = url or f"http://{values.get('server.host')}:{values.get('server.port')}"
    return values, {item.key: item.origin for item in loaded.settings} | {"url": "derived"}


def _plain(value: Any) -> Any:
    """JSON's types; a secret's type prints as a mask."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else str(value)
