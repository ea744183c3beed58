"""Which faults there are, in the order of the catalogue."""

from __future__ import annotations

from corral.testing.chaos.faults import f01_server_kill, f02_worker_kill, f03_host_crash
from corral.testing.chaos.ground import Fault

FAULTS: tuple[Fault, ...] = tuple(module.FAULT for module in (f01_server_kill, f02_worker_kill, f03_host_crash))
