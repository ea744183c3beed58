"""`corral agent status`: what the daemon and the worker of one state directory say over their local sockets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from corral.agent.config import StateDir, load_identity
from corral.agent.local import call
from corral.domain.errors import CorralError


def show(state: StateDir, *, json_output: bool) -> int:
    """Print it; 0 when both run and are linked, 1 otherwise."""
    identity = load_identity(state)
    daemon, worker = asyncio.run(_ask(state))
    healthy = bool(daemon and daemon.get("linked") and worker and worker.get("linked"))
    if json_output:
        print(json.dumps({"node": identity.node_id, "healthy": healthy, "daemon": daemon, "worker": worker}, indent=1))
    else:
        print(f"{identity.node_id} at {identity.server_url}")
        print(f"  daemon  {_line(daemon)}")
        print(f"  worker  {_line(worker)}")
        if worker:
            print(
                f"  tasks   {len(worker.get('running', ()))} running, {worker.get('queued', 0)} queued,"
                f" {worker.get('spool', 0)} reports waiting for the server"
            )
    return 0 if healthy else 1


async def _ask(state: StateDir) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    answers: list[dict[str, Any] | None] = []
    for role in ("daemon", "worker"):
        try:
            answers.append(await call(state.socket(role), "status"))
        except CorralError:
            answers.append(None)
    return answers[0], answers[1]


def _line(status: dict[str, Any] | None) -> str:
    if status is None:
        return "does not answer (not running?)"
    linked = "connected" if status.get("linked") else "NOT connected to the engine"
    rss = status.get("rss_bytes") or 0
    return f"pid {status.get('pid')}, version {status.get('version')}, {linked}, {rss / 1e6:.1f} MB"
