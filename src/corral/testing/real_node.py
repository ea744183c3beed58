"""A real node beside a Stack: enrolled by a join token with the node zipapp, daemon and worker as processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from corral.agent.bundle import build_bundle
from corral.agent.config import StateDir
from corral.domain.errors import Unavailable
from corral.testing.stack import Stack

_START = ("worker", "daemon")


class RealNode:
    """`start`, `kill` and `stop` act on one role; whatever still runs is ended at the end."""

    def __init__(self, folder: Path, node_id: str, *, flags: Sequence[str] = ()) -> None:
        self.node_id = node_id
        self.state = StateDir(folder / node_id)
        self.bundle = folder / "corral-agent.pyz"
        self._flags = list(flags)
        self.processes: dict[str, asyncio.subprocess.Process] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def enrolled(
        cls, stack: Stack, node_id: str, *, slots: int = 10, start: bool = True
    ) -> AsyncGenerator[RealNode, None]:
        node = cls(stack.folder, node_id, flags=["--slots", str(slots), "--keep-worker", "false"])
        build_bundle(node.bundle)
        token = await stack.fleet.call("POST", "/tokens", {"uses": 1, "node_id": node_id})
        await node._run("enroll", "--server", stack.url, "--token", token["token"], "--node-id", node_id)
        try:
            if start:
                for role in _START:
                    await node.start(role)
            yield node
        finally:
            for role in list(node.processes):
                await node.stop(role)

    def pid(self, role: str) -> int:
        return self.processes[role].pid

    async def start(self, role: str) -> None:
        with (self.state.root / f"{role}-output.log").open("ab") as log:
            self.processes[role] = await asyncio.create_subprocess_exec(
                *self._argv(role, *(flag for flag in self._flags)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def kill(self, role: str) -> None:
        """kill -9, seen to its end."""
        self.processes[role].kill()
        await self.processes.pop(role).wait()

    async def stop(self, role: str) -> None:
        process = self.processes.pop(role)
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 15)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _run(self, *words: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._argv(*words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise Unavailable(f"cannot {words[0]} {self.node_id}: {output.decode(errors='replace')[-1000:]}")

    def _argv(self, verb: str, *words: str) -> list[str]:
        return [sys.executable, "-S", "-E", str(self.bundle), "agent", verb, "--state", str(self.state.root), *words]
