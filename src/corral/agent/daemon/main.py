"""The daemon process: everything it runs, wired top to bottom.

Order of start: the local socket (so that status answers), the link, then what speaks over it; the keeper and the renewal last. Stopped
in reverse: the link outlives those who use it.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import corral
from corral.agent import pidfile
from corral.agent.command import agent_argv
from corral.agent.config import AgentSettings, Identity, StateDir, load_identity
from corral.agent.daemon.facts import read
from corral.agent.daemon.keeper import Keeper
from corral.agent.daemon.presence import Presence
from corral.agent.daemon.proc import resident_bytes
from corral.agent.daemon.renewal import Renewal
from corral.agent.daemon.reporters import FactsReporter, MetricsReporter
from corral.agent.daemon.rpc import Files, RpcDesk
from corral.agent.daemon.worker_view import WorkerView
from corral.agent.daemon.workers import LocalWorkers, kept_by_systemd
from corral.agent.link.client import NatsLink
from corral.agent.local import LocalServer
from corral.agent.role import running_as
from corral.domain.errors import CorralError
from corral.protocol import subjects
from corral.runtime.clock import Clock, SystemClock
from corral.runtime.lifecycle import Component, Lifecycle
from corral.runtime.tls import client_context

if TYPE_CHECKING:
    from corral.agent.daemon.collectors import Collectors

log = logging.getLogger("corral.daemon")


class OverLimit(Exception):
    """The daemon itself grew beyond its memory: it starts anew in place."""


class Daemon:
    """The daemon's parts and its view of itself."""

    def __init__(self, identity: Identity, state: StateDir, settings: AgentSettings, clock: Clock) -> None:
        self._identity = identity
        self._state = state
        self._settings = settings
        self._clock = clock
        self._started = clock.wall()
        self._keys_from: tuple[float, dict[str, bytes]] = (-1.0, {})
        node = identity.node_id
        context = client_context(identity.ca_pem) if identity.ca_pem else None
        self.link = NatsLink(
            urls=identity.engine_urls,
            jwt=self._jwt,
            seed=identity.daemon_seed,
            inbox=subjects.node_inbox(node),
            ssl_context=context,
            clock=clock,
            name=f"{node}/daemon",
        )
        self.view = WorkerView(state.socket("worker"), clock)
        self.keeper = Keeper(
            workers=LocalWorkers(
                pid_file=state.pid("worker"),
                argv=agent_argv("worker", state.root),
                output=state.log("worker-output"),
            ),
            view=self.view,
            clock=clock,
            memory_max_bytes=settings.worker_memory_max_bytes,
            start=settings.keep_worker and not kept_by_systemd(read("/proc/self/cgroup")),
        )
        self.presence = Presence(
            node_id=node,
            link=self.link,
            status=self.view.status,
            clock=clock,
            beat_seconds=settings.beat_seconds,
            boot_id=pidfile.boot_id(),
            restarts=lambda: self.keeper.restarted,
        )
        self.collectors: Collectors | None = None
        if settings.collect_seconds > 0:
            # most nodes have none, and it costs memory
            from corral.agent.daemon.collectors import Collectors

            self.collectors = Collectors(
                path=state.root / "collected.json",
                python=settings.executors_python,
                clock=clock,
                every_seconds=settings.collect_seconds,
            )
        self.metrics = MetricsReporter(
            node_id=node,
            link=self.link,
            clock=clock,
            every_seconds=settings.metrics_seconds,
            more=(dict) if self.collectors is None else self.collectors.values,
        )
        files = Files(state.root)
        self.desk = RpcDesk(
            node_id=node,
            link=self.link,
            methods={"status": self._rpc_status, "preview": files.preview, "tail": files.tail},
            keys=self._keys,
            clock=clock,
            offset=lambda: self.view.server_offset,
        )

    def components(self) -> list[Component]:
        identity, link, clock = self._identity, self.link, self._clock
        return [
            LocalServer(self._state.socket("daemon"), {"status": self._local_status}),
            self.presence,
            FactsReporter(node_id=identity.node_id, link=link, clock=clock, every_seconds=self._settings.facts_seconds),
            link,
            self.metrics,
            *([] if self.collectors is None else [self.collectors]),
            self.keeper,
            Renewal(jwt=self._jwt, argv=agent_argv("renew", self._state.root), link=link, clock=clock),
            _MemoryWatch(clock, self._settings.daemon_memory_max_bytes),
        ]

    async def _local_status(self, params: dict[str, Any]) -> dict[str, Any]:
        return {**self.status(), "worker": self.view.last}

    async def _rpc_status(self, params: dict[str, Any]) -> dict[str, Any]:
        """Live: asks the worker now; {"watch": seconds} samples every two seconds for so long."""
        watch = params.get("watch")
        if isinstance(watch, int | float) and watch > 0:
            self.metrics.watch(float(watch))
        try:
            worker: Mapping[str, Any] | None = await self.view.status()
        except CorralError:
            worker = None
        return {"daemon": self.status(), "worker": worker, "metrics": self.metrics.latest}

    def status(self) -> dict[str, Any]:
        return {
            "node": self._identity.node_id,
            "pid": os.getpid(),
            "started": self._started,
            "version": corral.__version__,
            "server": self._identity.server_url,
            "linked": self.link.connected,
            "reconnects": self.link.reconnects,
            "beats": self.presence.beats,
            "worker_restarts": self.keeper.restarted,
            "worker_alert": self.keeper.alert,
            "rpc_refused": self.desk.refused,
            "rss_bytes": own_memory_bytes(),
        }

    def _jwt(self) -> str:
        try:
            self._identity = load_identity(self._state)
        except CorralError as error:
            log.error("Cannot read the identity: %s; going on with the one we had", error, extra={"action": "identity"})
        return self._identity.daemon_jwt

    def _keys(self) -> Mapping[str, bytes]:
        """The pinned keys; read again when the file changed (the worker adds announced ones)."""
        try:
            changed = os.stat(self._state.identity).st_mtime
        except OSError:
            return self._keys_from[1]
        if changed != self._keys_from[0]:
            self._jwt()
            keys = {name: base64.b64decode(text) for name, text in self._identity.signing_keys.items()}
            self._keys_from = changed, keys
        return self._keys_from[1]


class _MemoryWatch:
    """Component: ends the process when it grew beyond its limit."""

    name = "memory"

    def __init__(self, clock: Clock, max_bytes: int) -> None:
        self._clock = clock
        self._max_bytes = max_bytes

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        while (used := own_memory_bytes()) <= self._max_bytes:
            await self._clock.sleep(30.0)
        raise OverLimit(f"{used} bytes of memory, {self._max_bytes} are allowed")


def own_memory_bytes() -> int:
    return resident_bytes(read("/proc/self/statm"), os.sysconf("SC_PAGE_SIZE"))


def main(settings: AgentSettings) -> int:
    """Run until TERM or INT. Raises NotFound when not enrolled, Conflict when another daemon has the state directory."""
    state = StateDir(settings.state_dir.absolute())
    with running_as("daemon", state, settings) as identity:
        try:
            asyncio.run(_run(identity, state, settings))
        except OverLimit as error:
            log.error("Cannot go on: %s; starting anew", error, extra={"action": "memory"})
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # ourselves, with our own words
    return 0


async def _run(identity: Identity, state: StateDir, settings: AgentSettings) -> None:
    daemon = Daemon(identity, state, settings, SystemClock())
    log.info("Starting the daemon of %s", identity.node_id, extra={"action": "start", "version": corral.__version__})
    try:
        await Lifecycle(daemon.components()).run()
    finally:
        daemon.view.close()
    log.info("Stopped", extra={"action": "stop"})
