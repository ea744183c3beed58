"""Who is there: decided from beats, link events and time, nothing else.

The rules:
- A daemon's link makes a node online at once, and so does a beat; the daemon's last link going down makes it offline at once.
- A beat that may have been stored before the link went down does not bring the node back: `Sighting.after` says since when it
  cannot be older.
- Three windows without a beat make an online node offline, whatever its link looks like.
- When 5 or more nodes and more than 20 % of those that were there miss a beat together, or we ourselves were not looking (lag,
  engine away), the fault is likely ours: verdicts from silence wait one more window. Verdicts from link events never wait.
- A missing worker is a flag on the node; it changes nothing else.

`decide` is a pure function of (state, observations, now); times are seconds of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

MISSED_BEATS: Final = 3
MASS_NODES: Final = 5
MASS_SHARE: Final = 0.2
_LATE: Final = 1.25
"""A beat is missed after this many windows: the jitter of beats is no miss."""


class Role(StrEnum):
    """Which of a node's two links. A simulated node has one link that is both."""

    DAEMON = "daemon"
    WORKER = "worker"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """A beat of a node, read just now and stored at some moment after `after`. `worker_down` is the daemon's own word."""

    node: str
    after: float
    worker_down: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkChange:
    """A link of a node came or went."""

    node: str
    role: Role
    up: bool
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Observations:
    """What was seen since the last decision, links in order. `linked` = every link there is (node → roles), when that was asked.

    `lagged`: we did not look in time (our loop stood still, the engine was away), so silence proves nothing yet.
    """

    sightings: Sequence[Sighting] = ()
    links: Sequence[LinkChange] = ()
    linked: Mapping[str, frozenset[Role]] | None = None
    lagged: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """What we know of one node. `links` counts the daemon's connections: an old one may be noticed dead after the new one came."""

    online: bool = False
    heard: float = 0.0
    links: int = 0
    down_at: float | None = None
    worker_unlinked: bool = False
    worker_missing: bool = False
    silenced_at: float | None = None
    reason: str = ""

    @property
    def worker_down(self) -> bool:
        return self.worker_unlinked or self.worker_missing


@dataclass(frozen=True, kw_only=True)
class PresenceState:
    """The fleet as presence sees it. `hold_until`: no verdict from silence before that moment."""

    watches: Mapping[str, Watch] = field(default_factory=dict)
    hold_until: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A node is (still or newly) online or offline, why, and whether its worker is missing. Only what changed is said."""

    node: str
    online: bool
    reason: str
    worker_down: bool = False


def start(nodes: Mapping[str, bool], now: float, *, window: float) -> PresenceState:
    """The state of a server that has just started: node → whether it was last known online. One window of grace."""
    watches = {node: Watch(online=online, heard=now) for node, online in nodes.items()}
    return PresenceState(watches=watches, hold_until=now + window)


def enter(state: PresenceState, node: str) -> PresenceState:
    """A node was enrolled: it is not there until it says so."""
    return state if node in state.watches else replace(state, watches={**state.watches, node: Watch()})


def leave(state: PresenceState, node: str) -> PresenceState:
    """A node was removed: nothing more is said of it."""
    return replace(state, watches={name: watch for name, watch in state.watches.items() if name != node})


def decide(
    state: PresenceState, seen: Observations, now: float, *, window: float
) -> tuple[PresenceState, list[Verdict]]:
    """The next state and the verdicts that changed, given what was seen. `window` is the time between two beats."""
    watches = dict(state.watches)
    touched: dict[str, Watch] = {}

    def put(node: str, watch: Watch) -> None:
        touched.setdefault(node, watches[node])
        watches[node] = watch

    for change in seen.links:
        if change.node in watches:
            put(change.node, _after_link(watches[change.node], change, now))
    if seen.linked is not None:
        for node, watch in state.watches.items():
            after = _after_census(watches[node], seen.linked.get(node, frozenset()), now)
            if after != watch:
                put(node, after)
    for sighting in seen.sightings:
        if sighting.node in watches:
            put(sighting.node, _after_beat(watches[sighting.node], sighting, now))
    hold_until = max(state.hold_until, now + window) if seen.lagged else state.hold_until
    if now >= hold_until:
        for node in _silent(watches, now, window):
            reason = f"no beat for {MISSED_BEATS * window:g} s"
            put(node, replace(watches[node], online=False, silenced_at=now, reason=reason))
    verdicts = [
        Verdict(node=node, online=after.online, reason=after.reason, worker_down=after.worker_down)
        for node, before in touched.items()
        if (after := watches[node]).online is not before.online
        or after.worker_down is not before.worker_down
        or (after.reason != before.reason and not after.online)
    ]
    return PresenceState(watches=watches, hold_until=hold_until), verdicts


def _after_link(watch: Watch, change: LinkChange, now: float) -> Watch:
    if change.role is Role.WORKER:
        return replace(watch, worker_unlinked=not change.up)
    if change.up:
        return replace(
            watch,
            online=True,
            heard=now,
            links=watch.links + 1,
            down_at=None,
            silenced_at=None,
            reason=watch.reason if watch.online else "connected",
        )
    links = max(0, watch.links - 1)
    if links or not watch.online:
        return replace(watch, links=links)
    reason = f"its link closed: {change.reason}" if change.reason else "its link closed"
    return replace(watch, online=False, links=0, down_at=now, reason=reason)


def _after_census(watch: Watch, roles: frozenset[Role], now: float) -> Watch:
    """Every link there is, asked of the engine: repairs what missed events left wrong."""
    worker_unlinked = watch.worker_unlinked and Role.WORKER not in roles
    if Role.DAEMON in roles:
        if watch.online:
            return replace(watch, links=max(1, watch.links), down_at=None, worker_unlinked=worker_unlinked)
        if watch.silenced_at is not None:  # connected but silent: only a beat brings it back
            return replace(watch, links=max(1, watch.links), worker_unlinked=worker_unlinked)
        return replace(
            watch, online=True, heard=now, links=1, down_at=None, worker_unlinked=worker_unlinked, reason="connected"
        )
    if not watch.online:
        return replace(watch, links=0, worker_unlinked=worker_unlinked)
    return replace(
        watch, online=False, links=0, down_at=now, worker_unlinked=worker_unlinked, reason="it is not connected"
    )


def _after_beat(watch: Watch, sighting: Sighting, now: float) -> Watch:
    if watch.down_at is not None and sighting.after < watch.down_at:
        return watch  # stored before its link went down, perhaps
    return replace(
        watch,
        online=True,
        heard=now,
        down_at=None,
        silenced_at=None,
        worker_missing=sighting.worker_down,
        reason=watch.reason if watch.online else "it beats",
    )


def _silent(watches: Mapping[str, Watch], now: float, window: float) -> list[str]:
    """Online nodes whose silence has lasted long enough to be believed."""
    late = now - _LATE * window
    missing = [node for node, watch in watches.items() if watch.online and watch.heard < late]
    if not missing:
        return []
    there = sum(watch.online for watch in watches.values())
    lately = sum(
        not watch.online and watch.silenced_at is not None and watch.silenced_at > now - window
        for watch in watches.values()
    )
    together = len(missing) + lately
    mass = together >= MASS_NODES and together > MASS_SHARE * (there + lately)
    believed = now - (MISSED_BEATS + mass) * window
    return [node for node in missing if watches[node].heard <= believed]
