"""Follows who is there: hands observations to the pure decision, applies its verdicts to the registry, persists them now and then.

The infrastructure feeds it (infrastructure/nats/presence.py) about once a second. What a node last said of itself in a beat is
kept as `Vitals` for `node show`. SQL is written by the lease holder alone, and only what changed since the last time: the state
of now, and every change on the way to it for the log. What was not yet written when a server died is missing in the log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from corral.domain import presence
from corral.domain.node import Presence
from corral.domain.presence import LinkChange, Observations, Role, Sighting, Verdict
from corral.domain.presence_log import PresenceChange, now_of
from corral.runtime.clock import Clock
from corral.server.application.nodes.registry import Registry
from corral.server.application.ports.nodes import NodeStore, PresenceLog

PERSIST_SECONDS: Final = 30.0
UNLOGGED_MAX: Final = 100_000
"""Changes that wait for the database; when it is away for long, the oldest go."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Vitals:
    """What a node's last beat said, besides that it is alive."""

    version: str = ""
    boot_id: str = ""
    running: int = 0
    queued: int = 0
    slots: int = 0
    spool: int = 0
    spool_bytes: int = 0
    skew_seconds: float = 0.0


class PresenceKeeper:
    """The presence of the whole fleet. `observe` is called from one place, in order."""

    def __init__(
        self,
        *,
        registry: Registry,
        store: NodeStore,
        log: PresenceLog,
        clock: Clock,
        beat_seconds: float = 10.0,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._registry = registry
        self._store = store
        self._log = log
        self._clock = clock
        self._window = beat_seconds
        self._leads = leads
        self._vitals: dict[str, Vitals] = {}
        self._warnings: Mapping[str, str] = {}
        self._unsaved: set[str] = set()
        self._unlogged: deque[PresenceChange] = deque(maxlen=UNLOGGED_MAX)
        self._saved_at = clock.monotonic()
        self._state = presence.PresenceState()

    def __contains__(self, node: object) -> bool:
        return node in self._registry

    def begin(self) -> None:
        """Start from what the registry was loaded with."""
        known = {n.id: n.presence is Presence.ONLINE for n in self._registry.select("all")}
        self._state = presence.start(known, self._clock.monotonic(), window=self._window)

    def role_of(self, key: str) -> tuple[str, tuple[Role, ...]] | None:
        """The node a user nkey belongs to and the links it is good for; None for a stranger."""
        node = self._registry.by_key(key)
        if node is None:
            return None
        roles = ((Role.DAEMON, node.daemon_key), (Role.WORKER, node.worker_key))
        return node.id, tuple(role for role, own in roles if own == key)

    def observe(
        self,
        *,
        sightings: Collection[Sighting] = (),
        links: Iterable[LinkChange] = (),
        linked: Mapping[str, frozenset[Role]] | None = None,
        lagged: bool = False,
    ) -> list[Verdict]:
        """Take in what was seen, apply what follows from it, say what changed."""
        self._follow_registry()
        now = self._clock.monotonic()
        at = self._clock.now()
        seen = Observations(sightings=tuple(sightings), links=tuple(links), linked=linked, lagged=lagged)
        self._state, verdicts = presence.decide(self._state, seen, now, window=self._window)
        alive = [sighting.node for sighting in seen.sightings]
        self._registry.saw(alive, at)
        self._unsaved.update(alive)
        for verdict in verdicts:
            self._apply(verdict, at)
        return verdicts

    def note(self, node: str, vitals: Vitals) -> None:
        """Keep what a beat said; strangers are not remembered."""
        if node in self._registry:
            self._vitals[node] = vitals

    def vitals(self, node: str) -> Vitals | None:
        return self._vitals.get(node)

    def warn(self, warnings: Mapping[str, str]) -> None:
        """What a person should know of some nodes now; replaces what was said before."""
        self._warnings = warnings

    def warning(self, node: str) -> str:
        return self._warnings.get(node, "")

    def linked_elsewhere(self, node: str) -> bool:
        """Whether the node still counts as connected: after a link went down, a reason to ask the engine for all links."""
        watch = self._state.watches.get(node)
        return watch is not None and watch.links > 0

    async def persist(self, *, now: bool = False) -> None:
        """Write presence and last-seen to SQL, at most every PERSIST_SECONDS, if this server leads."""
        if not self._leads():
            self._unsaved.clear()
            self._unlogged.clear()
            return
        if not self._unsaved or (not now and self._clock.monotonic() - self._saved_at < PERSIST_SECONDS):
            return
        self._saved_at = self._clock.monotonic()
        changed, self._unsaved = self._unsaved, set()
        nodes = [self._registry.get(node) for node in changed if node in self._registry]
        await self._store.set_presence(
            {node.id: (node.presence, node.presence_since or self._clock.now(), node.presence_reason) for node in nodes}
        )
        waiting = len(self._unlogged)
        await self._log.add(list(self._unlogged))
        for _ in range(min(waiting, len(self._unlogged))):
            self._unlogged.popleft()

    def _apply(self, verdict: Verdict, at: datetime) -> None:
        self._registry.set_presence(
            verdict.node,
            Presence.ONLINE if verdict.online else Presence.OFFLINE,
            since=at,
            reason=verdict.reason,
            worker_down=verdict.worker_down,
        )
        self._unsaved.add(verdict.node)
        if verdict.node in self._registry and (is_now := now_of(self._registry.get(verdict.node))) is not None:
            self._unlogged.append(replace(is_now, at=at))

    def _follow_registry(self) -> None:
        """Nodes enrolled or removed since the last time."""
        if len(self._registry) == len(self._state.watches) and all(n in self._registry for n in self._state.watches):
            return
        for node in [node for node in self._state.watches if node not in self._registry]:
            self._state = presence.leave(self._state, node)
            self._vitals.pop(node, None)
        for node in self._registry.ids("all"):
            self._state = presence.enter(self._state, node)
