"""Answers of newer and older servers."""

from __future__ import annotations

from datetime import UTC, datetime

from corral.sdk.models import Job, Node, Task, parse_time


def test_unknown_fields_are_ignored_and_missing_ones_default() -> None:
    job = Job.from_json({"job": "J1", "colour": "blue", "tasks": [{"node": "a", "mood": 1}]})
    assert (job.job, job.state, job.tasks[0].node) == ("J1", "open", "a")
    assert job.raw["colour"] == "blue"


def test_null_takes_the_default() -> None:
    assert Node.from_json({"id": "a", "labels": None, "groups": None}).labels == {}


def test_times_become_aware_datetimes() -> None:
    task = Task.from_json({"started_at": "2026-11-20T10:00:00.000Z", "finished_at": "2026-11-20T10:00:01.500Z"})
    assert task.started_at == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert task.seconds == 1.5


def test_what_is_no_time_is_none() -> None:
    assert [parse_time(value) for value in ("", None, 5, "soon", "2026-11-20T10:00:00")] == [None] * 5


def test_a_state_nobody_knows_counts_as_over_and_not_as_success() -> None:
    task = Task.from_json({"state": "teleported"})
    assert not task.open
    assert not task.succeeded
