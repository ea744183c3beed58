"""How the presence of a node reads."""

from __future__ import annotations

from datetime import UTC, datetime

from corral.cli.output.nodes import stretch_rows

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def test_what_goes_on_has_lasted_until_now_and_a_missing_worker_is_said() -> None:
    rows = stretch_rows(
        [
            {
                "presence": "online",
                "worker": "down",
                "since": "2026-11-21T11:00:00.000Z",
                "until": None,
                "reason": "connected",
            },
            {
                "presence": "offline",
                "worker": "unknown",
                "since": "2026-11-21T10:58:30.000Z",
                "until": "2026-11-21T11:00:00.000Z",
                "reason": "no beat for 30 s",
            },
        ],
        NOW,
    )
    assert [row[1:] for row in rows] == [
        ["1h so far", "online, worker down", "connected"],
        ["1m30s", "offline", "no beat for 30 s"],
    ]
