"""What `corral up` says once everything runs."""

from __future__ import annotations

import sys
from pathlib import Path

from corral.up.api import Api
from corral.up.options import UpOptions


async def text(api: Api, *, options: UpOptions, online: int, data_dir: Path) -> str:
    """The address, a one-time login link and three commands worth trying."""
    login = await api.post("/api/v1/login-codes", {})
    program = _program()
    kept = "nothing is kept (--ephemeral)" if options.ephemeral else f"data is kept in {data_dir}"
    return f"""
Corral is up: {online} node{"" if online == 1 else "s"} online, {kept}

  page     {api.url}/login?code={login["code"]}
           (one-time link, good for 10 minutes; a new one: {program} login --link)
  API      {api.url}/docs

These nodes ARE this machine: commands run here, as you. Try, in another terminal:

  {program} node list
  {program} exec run -t 'labels["role"] == "web"' -- uptime
  {program} exec run -t all --shell -- 'for i in 1 2 3; do date; sleep 1; done'

Ctrl-C stops everything."""


def _program() -> str:
    """How the user can call us: by name when it is on PATH there, else by its place."""
    here = Path(sys.argv[0])
    if here.name != "corral":
        return "corral"
    try:
        return str(here.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(here)
