"""What a node's presence was, and when: changes as they were seen, read as stretches of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from corral.domain.node import Node, Presence


@dataclass(frozen=True, kw_only=True, slots=True)
class PresenceChange:
    """From this moment on the node was online or offline, and why. `worker_down`: connected, but not able to work."""

    node: str
    at: datetime
    presence: Presence
    reason: str = ""
    worker_down: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """A time in which nothing changed; `until` None is still going on."""

    presence: Presence
    since: datetime
    until: datetime | None
    reason: str
    worker_down: bool


def stretches(changes: Sequence[PresenceChange], until: datetime | None) -> list[Stretch]:
    """Newest first, as `changes` are; the newest lasted until `until`. What repeats the one before it in time is one stretch with it."""
    found: list[Stretch] = []
    for change in changes:
        newer = found[-1] if found else None
        if newer is not None and (newer.presence, newer.worker_down) == (change.presence, change.worker_down):
            found.pop()
            until = newer.until
        found.append(
            Stretch(
                presence=change.presence,
                since=change.at,
                until=until,
                reason=change.reason,
                worker_down=change.worker_down,
            )
        )
        until = change.at
    return found


def now_of(node: Node) -> PresenceChange | None:
    """What the node is now, as a change; None when it was never seen."""
    if node.presence is Presence.UNKNOWN or node.presence_since is None:
        return None
    return PresenceChange(
        node=node.id,
        at=node.presence_since,
        presence=node.presence,
        reason=node.presence_reason,
        worker_down=node.worker_down,
    )
