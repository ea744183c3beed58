"""Changes of presence, read as stretches of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from corral.domain.node import Node, Presence
from corral.domain.presence_log import PresenceChange, now_of, stretches

T0 = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def at(minutes: int) -> datetime:
    return T0 + timedelta(minutes=minutes)


def change(minutes: int, presence: Presence, reason: str = "", *, worker_down: bool = False) -> PresenceChange:
    return PresenceChange(node="n1", at=at(minutes), presence=presence, reason=reason, worker_down=worker_down)


def test_each_change_lasts_until_the_next_and_the_newest_goes_on() -> None:
    found = stretches([change(9, Presence.ONLINE, "it beats"), change(5, Presence.OFFLINE, "no beat for 30 s")], None)
    assert [(s.presence, s.since, s.until, s.reason) for s in found] == [
        (Presence.ONLINE, at(9), None, "it beats"),
        (Presence.OFFLINE, at(5), at(9), "no beat for 30 s"),
    ]


def test_a_page_of_older_changes_ends_where_the_page_before_began() -> None:
    assert [s.until for s in stretches([change(5, Presence.ONLINE), change(3, Presence.OFFLINE)], at(7))] == [
        at(7),
        at(5),
    ]


def test_what_says_the_same_twice_is_one_stretch_with_the_first_reason() -> None:
    found = stretches(
        [
            change(9, Presence.OFFLINE, "it is not connected"),
            change(8, Presence.OFFLINE, "its link closed"),
            change(4, Presence.ONLINE, worker_down=True),
            change(2, Presence.ONLINE),
        ],
        None,
    )
    assert [(s.presence, s.worker_down, s.since, s.until, s.reason) for s in found] == [
        (Presence.OFFLINE, False, at(8), None, "its link closed"),
        (Presence.ONLINE, True, at(4), at(8), ""),
        (Presence.ONLINE, False, at(2), at(4), ""),
    ]


def test_a_node_that_was_never_seen_has_no_now() -> None:
    assert now_of(Node(id="n1")) is None
    seen = Node(id="n1", presence=Presence.ONLINE, presence_since=T0, presence_reason="it beats", worker_down=True)
    assert now_of(seen) == change(0, Presence.ONLINE, "it beats", worker_down=True)
