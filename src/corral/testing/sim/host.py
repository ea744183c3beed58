"""One process full of simulated nodes: `python -m corral.testing.sim.host FLEET.json FIRST STEP --spool DIR`.

Each node is a real link, a real worker and the daemon's presence on one connection. The process ends on TERM; kill -9 leaves
journals and spools as a crashed machine would, and a new host on the same spool goes on from them.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import logging
import resource
import signal
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

from corral.agent.config import AgentSettings, StateDir
from corral.agent.daemon.presence import Presence
from corral.agent.link.client import NatsLink
from corral.agent.worker.worker import Worker
from corral.protocol import subjects
from corral.runtime import logs
from corral.runtime.clock import Clock, SystemClock
from corral.runtime.files import private_dir
from corral.runtime.lifecycle import TaskSet
from corral.testing.sim.identities import FleetFile, SimulatedIdentity

_STARTS_AT_ONCE = 50


def _raise_nofile() -> int:
    """Every node needs a socket and, while a task runs, a few files more. Returns the limit we got."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class SimulatedNode:
    """What would be two processes on a machine of its own."""

    def __init__(
        self,
        identity: SimulatedIdentity,
        fleet: FleetFile,
        *,
        spool: Path,
        settings: AgentSettings,
        execute: bool,
        clock: Clock,
        boot: str | None = None,
    ) -> None:
        state = StateDir(spool / identity.node_id)
        private_dir(state.root)
        context: ssl.SSLContext | None = None
        if fleet.engine_ca:
            context = ssl.create_default_context(cadata=fleet.engine_ca)
        self.link = NatsLink(
            urls=list(fleet.engine_urls),
            jwt=lambda: identity.jwt,
            seed=identity.seed,
            inbox=subjects.node_inbox(identity.node_id),
            clock=clock,
            ssl_context=context,
            name=identity.node_id,
        )
        keys = {name: base64.b64decode(value) for name, value in fleet.signing_keys.items()}
        self.worker = Worker(
            node_id=identity.node_id,
            state=state,
            link=self.link,
            settings=settings,
            clock=clock,
            keys=keys,
            execute=execute,
            boot=boot,
        )
        self.presence = Presence(
            node_id=identity.node_id,
            link=self.link,
            status=self._status,
            clock=clock,
            beat_seconds=settings.beat_seconds,
        )

    async def _status(self) -> dict[str, object]:
        return self.worker.status()

    def start(self, tasks: TaskSet) -> None:
        for part, run in (("worker", self.worker.run), ("presence", self.presence.run), ("link", self.link.run)):
            tasks.start(run(_ready), name=part)


def _ready() -> None:
    """Parts of a simulated node do not wait for each other."""


async def run(options: argparse.Namespace) -> None:
    clock = SystemClock()
    fleet = FleetFile.load(options.fleet)
    settings = AgentSettings(state_dir=options.spool, beat_seconds=options.beat_seconds, slots=options.slots)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, stop.set)
    tasks = TaskSet("sim")
    for number, identity in enumerate(fleet.nodes[options.first :: options.step]):
        SimulatedNode(
            identity,
            fleet,
            spool=options.spool,
            settings=settings,
            execute=not options.no_exec,
            clock=clock,
            boot=options.boot_id,
        ).start(tasks)
        if number % _STARTS_AT_ONCE == _STARTS_AT_ONCE - 1:
            await clock.sleep(0.02)
    # The fleet is complete and lives as long as we do: keep it out of every collection, as it is most of the heap.
    gc.collect()
    gc.freeze()
    print("started", flush=True)
    await stop.wait()
    await tasks.close(grace_seconds=10.0)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m corral.testing.sim.host")
    parser.add_argument("fleet", type=Path)
    parser.add_argument("first", type=int, help="the first node of this process")
    parser.add_argument("step", type=int, help="and every STEPth after it")
    parser.add_argument("--spool", type=Path, required=True)
    parser.add_argument("--no-exec", action="store_true")
    parser.add_argument("--beat-seconds", type=float, default=10.0)
    parser.add_argument("--slots", type=int, default=10)
    parser.add_argument("--boot-id", help="pretend that the machine was started under this boot id")
    options = parser.parse_args(words)
    logs.configure(level="warning")
    logging.captureWarnings(True)
    _raise_nofile()
    if sys.version_info < (3, 12):
        # The default watcher of 3.11 starts a thread for each child: 71 ms for 100 children against 52 (measured).
        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())
    asyncio.run(run(options))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
