"""What was asked of `corral up`, and how it is said on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corral.domain.errors import Invalid

_EXAMPLES = """\
examples:
  corral up                         engine + server + 3 demo nodes; data is kept in .corral/
  corral up --nodes 10 --ephemeral  ten demo nodes; everything is removed at the end
  corral up --sim 200               200 simulated nodes beside the demo nodes
  corral up --port 9000             the page and the API on port 9000

The demo nodes ARE this machine: commands run here, as you. Their local policy refuses reboot, shutdown, mkfs and the
recursive removal of system paths. Ctrl-C stops everything.
"""


@dataclass(frozen=True, kw_only=True)
class UpOptions:
    """What was asked for. `port` None = 8080, or a free one when that is taken; 0 = any free port."""

    data_dir: Path
    nodes: int = 3
    port: int | None = None
    ephemeral: bool = False
    sim: int = 0
    verbose: bool = False


def parse(words: Sequence[str]) -> UpOptions:
    parser = argparse.ArgumentParser(
        prog="corral up",
        description="Start engine, server and local demo nodes on this machine.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--nodes", type=int, default=3, metavar="N", help="local demo nodes (default 3)")
    parser.add_argument("--data-dir", type=Path, metavar="D", help="where everything is kept (default .corral)")
    parser.add_argument("--ephemeral", action="store_true", help="keep nothing: a temporary folder, removed at the end")
    parser.add_argument(
        "--port", type=int, metavar="P", help="port of the page and the API (default 8080, 0 = any free one)"
    )
    parser.add_argument("--sim", type=int, default=0, metavar="N", help="simulated nodes beside the demo nodes")
    parser.add_argument("--verbose", action="store_true", help="show the logs of all parts here")
    given = parser.parse_args(words)
    if given.ephemeral and given.data_dir:
        parser.error("--ephemeral keeps nothing, so it takes no --data-dir")
    if not 0 <= given.nodes <= 100:
        raise Invalid(
            f"cannot start {given.nodes} demo nodes: expected 0 to 100", element="--nodes", hint="for more, use --sim N"
        )
    if not 0 <= given.sim <= 20_000:
        raise Invalid(f"cannot simulate {given.sim} nodes: expected 0 to 20000", element="--sim")
    if given.port is not None and not 0 <= given.port <= 65535:
        raise Invalid(f"cannot use port {given.port}: expected 0 to 65535", element="--port")
    return UpOptions(
        data_dir=(given.data_dir or Path(".corral")).absolute(),
        nodes=given.nodes,
        port=given.port,
        ephemeral=given.ephemeral,
        sim=given.sim,
        verbose=given.verbose,
    )
