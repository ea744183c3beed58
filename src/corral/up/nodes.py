"""The demo nodes: enrolled like any node, each a real daemon and a real worker from the node zipapp."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from corral.agent.config import StateDir
from corral.domain.errors import Unavailable
from corral.domain.policy_shipped import SHIPPED
from corral.runtime.clock import Clock
from corral.runtime.files import private_dir, write_atomic
from corral.up.child import Child
from corral.up.place import end

_ROLES = ("web", "web", "db")


def labels_of(number: int) -> str:
    return f"role={_ROLES[(number - 1) % len(_ROLES)]},env=demo"


def agent_argv(bundle: Path, *words: str) -> list[str]:
    """The node zipapp on this Python without its libraries: what runs here is what runs on a bare machine."""
    return [sys.executable, "-S", "-E", str(bundle), "agent", *words]


async def enrol(bundle: Path, state: StateDir, *, node_id: str, server_url: str, token: str) -> None:
    """Run `agent enroll` for one demo node. Raises Unavailable with what it printed."""
    process = await asyncio.create_subprocess_exec(
        *agent_argv(
            bundle, "enroll", "--server", server_url, "--token", token, "--state", str(state.root), "--node-id", node_id
        ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise Unavailable(f"cannot enrol {node_id}: {output.decode(errors='replace').strip()[-500:]}", element=node_id)


def enrolled_at(state: StateDir, server_url: str) -> bool:
    """Whether this state directory already belongs to the server at that address."""
    try:
        identity = json.loads(state.identity.read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    return bool(identity.get("server_url") == server_url)


def prepare(state: StateDir) -> None:
    private_dir(state.root)
    write_atomic(state.policy, json.dumps({"rules": list(SHIPPED)}, indent=1).encode(), durable=False)


async def stop_leftovers(states: Sequence[StateDir], clock: Clock) -> None:
    """End daemons and workers that an earlier, killed launcher left behind. Their tasks run on and are adopted."""
    for state in states:
        for role in ("daemon", "worker"):
            await _stop_leftover(state, role, clock)


async def _stop_leftover(state: StateDir, role: str, clock: Clock) -> None:
    try:
        pid = int(state.pid(role).read_text().split()[0])
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, ValueError, IndexError):
        return
    if b"agent" not in words or role.encode() not in words or str(state.root).encode() not in words:
        return
    await end(pid, clock)


def children(bundle: Path, state: StateDir, *, clock: Clock) -> list[Child]:
    """The two processes of one demo node."""
    return [
        Child(
            name=f"{state.root.name} {role}",
            argv=agent_argv(bundle, role, "--state", str(state.root)),
            log_file=state.log(f"{role}-output"),
            clock=clock,
            kept_by="its daemon" if role == "worker" else "",
        )
        for role in ("worker", "daemon")
    ]
