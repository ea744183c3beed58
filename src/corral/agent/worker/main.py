"""The worker process: identity, lock, log, local socket, the worker and its link, wired top to bottom.

Two workers never share a state directory (`worker.lock`). On TERM or `stop` the intake ends and the process leaves; running
tasks stay under their wrappers, and the next worker adopts them.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import corral
from corral.agent.config import AgentSettings, Identity, StateDir, load_identity
from corral.agent.link.client import NatsLink
from corral.agent.local import LocalServer
from corral.agent.role import running_as
from corral.agent.worker.builtin.host import Facts
from corral.agent.worker.worker import Worker, public_keys
from corral.domain.errors import CorralError
from corral.protocol.subjects import node_inbox
from corral.runtime.clock import Clock, SystemClock
from corral.runtime.lifecycle import Lifecycle
from corral.runtime.tls import client_context

log = logging.getLogger("corral.worker")


class WorkerProcess:
    """The worker of this machine, its link and its local socket."""

    def __init__(
        self, identity: Identity, state: StateDir, settings: AgentSettings, clock: Clock, facts: Facts = dict
    ) -> None:
        self._identity = identity
        self._state = state
        node = identity.node_id
        self.link = NatsLink(
            urls=identity.engine_urls,
            jwt=self._jwt,
            seed=identity.worker_seed,
            inbox=node_inbox(node),
            ssl_context=client_context(identity.ca_pem) if identity.ca_pem else None,
            clock=clock,
            name=f"{node}/worker",
        )
        self.worker = Worker(
            node_id=node,
            state=state,
            link=self.link,
            settings=settings,
            clock=clock,
            keys=public_keys(identity.signing_keys),
            on_keys=self._pinned,
            facts=facts,
        )
        # the link last: what it delivers finds the journal recovered and the subscription there
        socket = LocalServer(state.socket("worker"), {"status": self._status, "stop": self._stop})
        self.lifecycle = Lifecycle([socket, self.worker, self.link])

    async def _status(self, params: dict[str, Any]) -> dict[str, Any]:
        return self.worker.status()

    async def _stop(self, params: dict[str, Any]) -> dict[str, Any]:
        log.info("Stopping because the local socket asked", extra={"action": "stop_asked"})
        # after this answer went out
        asyncio.get_running_loop().call_later(0.05, self.lifecycle.stop)
        return {"stopping": True, "pid": os.getpid()}

    def _jwt(self) -> str:
        """Read again for every connect: the daemon renews it."""
        try:
            self._identity = load_identity(self._state)
        except CorralError as error:
            log.error("Cannot read the identity: %s; going on with the one we had", error, extra={"action": "identity"})
        return self._identity.worker_jwt

    def _pinned(self, new: Mapping[str, bytes]) -> None:
        """Put announced keys into the identity file too: the daemon pins by it. The journal holds them in any case."""
        try:
            identity = load_identity(self._state)
            texts = {key_id: base64.b64encode(public).decode() for key_id, public in new.items()}
            replace(identity, signing_keys={**identity.signing_keys, **texts}).save(self._state)
        except (CorralError, OSError) as error:
            log.error("Cannot add the new keys to the identity file: %s", error, extra={"action": "keys"})


def main(settings: AgentSettings, facts: Facts = dict) -> int:
    """Run until TERM, INT or `stop`. Raises NotFound when not enrolled, Conflict when another worker has the directory.

    `facts` comes from whoever starts us: collecting them is the daemon's, and the two share no code.
    """
    state = StateDir(settings.state_dir.absolute())
    with running_as("worker", state, settings) as identity:
        asyncio.run(_run(identity, state, settings, facts))
    return 0


async def _run(identity: Identity, state: StateDir, settings: AgentSettings, facts: Facts) -> None:
    process = WorkerProcess(identity, state, settings, SystemClock(), facts)
    log.info("Starting the worker of %s", identity.node_id, extra={"action": "start", "version": corral.__version__})
    await process.lifecycle.run()
    log.info("Stopped; running tasks go on", extra={"action": "stop"})
