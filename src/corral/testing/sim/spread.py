"""How many processes a simulated fleet is spread over: two at least, and as many as the limit on open files asks for."""

from __future__ import annotations

import math
import resource
import sys
from pathlib import Path
from typing import Final

PROCESSES_MIN: Final = 2
DESCRIPTORS_PER_NODE: Final = 5
"""The link, the journal with its log and its index, and a spool file that is open for a moment."""
_DESCRIPTORS_OF_A_HOST: Final = 500


def processes_for(nodes: int) -> int:
    """Processes for `nodes` simulated nodes within the hard limit on open files, to which a host raises its own."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit == resource.RLIM_INFINITY:
        return PROCESSES_MIN
    nodes_per_process = max(1, (limit - _DESCRIPTORS_OF_A_HOST) // DESCRIPTORS_PER_NODE)
    return max(PROCESSES_MIN, math.ceil(nodes / nodes_per_process))


def host_argv(fleet_file: Path, count: int, processes: int, spool: Path) -> list[list[str]]:
    """One command line a process. Neighbours live in different processes, so that a part of the fleet uses all cores too."""
    hosts = min(processes, count)
    program = [sys.executable, "-m", "corral.testing.sim.host", str(fleet_file)]
    return [[*program, str(number), str(hosts), "--spool", str(spool)] for number in range(hosts)]
