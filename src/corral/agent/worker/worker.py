"""One node's worker, put together: inbox → policy → journal → slots → runner → spool → outbox, and sync beside them.

A component. It owns nothing global and no socket of its own: the process (main) gives it a link, the simulator gives it one of
many. On stop the intake ends, running tasks go on under their wrappers, and the next run adopts them.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import secrets
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, Final

from corral import __version__
from corral.agent.config import AgentSettings, StateDir
from corral.agent.link.port import Link
from corral.agent.worker.adoption import Adoption
from corral.agent.worker.builtin.host import Facts, Host
from corral.agent.worker.frame import Frame
from corral.agent.worker.guard import Guard
from corral.agent.worker.inbox import Inbox, Parts
from corral.agent.worker.journal import Journal
from corral.agent.worker.outbox import Outbox
from corral.agent.worker.output import Courier
from corral.agent.worker.runner import Runner
from corral.agent.worker.servertime import ServerTime
from corral.agent.worker.sync import OnKeys, Sync
from corral.agent.worker.throttle import Throttle
from corral.agent.worker.trust import Trust
from corral.agent.worker.vault import Vault
from corral.domain.throttle import bandwidth_allowed
from corral.protocol.signing import Verify
from corral.protocol.subjects import down
from corral.runtime.clock import Clock
from corral.runtime.lifecycle import TaskSet
from corral.runtime.process import boot_id

log = logging.getLogger("corral.worker")

_HOUSEKEEPING_SECONDS: Final = 1.0
_PRUNE_EVERY: Final = 600
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Worker:
    """`keys`: key id → 32 bytes of every pinned signing key. `execute=False` does everything but start processes.

    `facts` collects what templates of file tasks may name; it is called when the first of them asks.
    """

    def __init__(
        self,
        *,
        node_id: str,
        state: StateDir,
        link: Link,
        settings: AgentSettings,
        clock: Clock,
        keys: Mapping[str, bytes],
        execute: bool = True,
        verify: Verify | None = None,
        on_keys: OnKeys | None = None,
        boot: str | None = None,
        facts: Facts = dict,
    ) -> None:
        self.name = f"worker/{node_id}"
        self._time = ServerTime(clock)
        self._tasks = TaskSet(self.name)
        self._frame = frame = Frame(
            node_id=node_id,
            state=state,
            link=link,
            settings=settings,
            clock=clock,
            time=self._time,
            tasks=self._tasks,
            boot_id=boot_id() if boot is None else boot,
        )
        self._journal = Journal(state, lambda: secrets.token_hex(8))
        self._courier = Courier(frame)
        self._outbox = Outbox(frame, lambda key: self._runner.settled(key))
        self._guard = Guard(state.policy, clock)
        host = Host(frame, guard=self._guard, bucket=self._courier.bucket, facts=facts)
        self._runner = Runner(
            frame, journal=self._journal, outbox=self._outbox, courier=self._courier, host=host, execute=execute
        )
        self._trust = Trust(node_id=node_id, keys=keys, verify=verify or _ed25519(), clock=clock)
        parts = Parts(
            vault=Vault(frame.state.root),
            journal=self._journal,
            runner=self._runner,
            outbox=self._outbox,
            guard=self._guard,
            trust=self._trust,
        )
        self._sync = Sync(frame, parts, on_keys)
        self._inbox = Inbox(frame, parts, ask_sync=self._sync.ask, on_sync=self._sync.received)
        self._sync.attach(self._inbox)
        self._adoption = Adoption(frame, parts, self._inbox)
        self._throttle = Throttle(settings, clock, self._apply_factor)
        self._started = clock.wall()
        self._housekeeping: asyncio.TimerHandle | None = None
        self._beats = 0

    async def run(self, ready: Callable[[], None]) -> None:
        """Recover, listen, and work until cancelled."""
        if self._journal.open_existing():
            self._restore()
            self._inbox.restore()
            self._adoption.recover()
        else:
            self._inbox.restore()
        self._frame.link.on_connect(self._connected)
        self._frame.link.subscribe(down(self._frame.node_id, ">"), self._inbox.handle)
        if self._frame.link.connected:
            await self._connected()
        if self._frame.settings.adaptive:
            self._tasks.start(self._throttle.run(lambda: None), name="throttle")
        self._runner.warm_up()
        self._keep_house()
        ready()
        try:
            await asyncio.Event().wait()
        finally:
            if self._housekeeping is not None:
                self._housekeeping.cancel()
            self._runner.close()
            self._outbox.close()
            await self._tasks.close()
            self._journal.close()

    def _restore(self) -> None:
        """What the journal remembers of keys and time."""
        with contextlib.suppress(ValueError):
            self._time.saw(float(self._journal.meta("time") or 0.0))
        self._trust.pin(self._journal.keys())

    async def _connected(self) -> None:
        self._courier.wake()
        self._outbox.everything()
        await self._sync.connected()

    def _keep_house(self) -> None:
        """Once a second: receipts to disk; now and then: rows nobody can refer to any more."""
        self._beats += 1
        with contextlib.suppress(sqlite3.Error):
            self._journal.flush()
            if self._beats % _PRUNE_EVERY == 0 and self._time.synced:
                self._journal.prune(self._time.now())
        self._housekeeping = asyncio.get_running_loop().call_later(_HOUSEKEEPING_SECONDS, self._keep_house)

    def _apply_factor(self, factor: float) -> None:
        settings = self._frame.settings
        self._runner.slots.factor = factor
        self._courier.bucket.set_rate(
            bandwidth_allowed(settings.bandwidth_bytes_per_second, settings.min_bandwidth_bytes_per_second, factor)
        )
        self._runner.pump()

    def status(self) -> dict[str, Any]:
        """What the daemon copies into its beat and `corral agent status` prints."""
        runner = self._runner
        return {
            "pid": os.getpid(),
            "started": self._started,
            "version": __version__,
            "running": [
                {"job": a.job, "attempt": a.number, "pid": a.pid, "started_at": a.started_at} for a in runner.running
            ],
            "queued": runner.queued,
            "slots": runner.slots.allowed,
            "factor": runner.slots.factor,
            "digest": runner.open.digest,
            "spool": self._outbox.depth,
            "spool_bytes": runner.spool_bytes,
            "state_revision": self._inbox.state_revision,
            "policy_revision": self._guard.revision,
            "linked": self._frame.link.connected,
            "rss_bytes": rss_bytes(),
            "journal": self._journal.id,
            "finished": runner.finished,
            "adopted": self._adoption.adopted,
            "refused": dict(self._trust.refused),
            "unknown_receipts": self._outbox.unknown_receipts,
            "syncs": self._sync.completed,
            "server_offset": self._time.offset_from_wall,
            "skew_seconds": round(self._time.skew_seconds, 3),
        }


def rss_bytes() -> int:
    """Resident memory of this process."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0


def public_keys(texts: Mapping[str, str]) -> dict[str, bytes]:
    """{key id: base64} of the identity file as {key id: 32 bytes}; what is not a key is left out."""
    keys = {}
    for key_id, text in texts.items():
        with contextlib.suppress(ValueError):
            public = base64.b64decode(text, validate=True)
            if len(public) == 32:
                keys[key_id] = public
    return keys


def _ed25519() -> Verify:
    from corral.runtime.crypto import ed25519_verify

    return ed25519_verify
