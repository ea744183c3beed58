from __future__ import annotations

from dataclasses import replace

import pytest

from corral.domain.task import TaskState
from corral.testing.checker import History, check, parse_log

A, B = ("J1", "a"), ("J1", "b")
GOOD = History(
    attempted=frozenset({A, B}),
    acked=frozenset({A, B}),
    executed=(("J1", "a", 1), ("J1", "b", 1)),
    states={A: TaskState.SUCCEEDED, B: TaskState.FAILED},
)


def test_a_clean_history_is_ok_and_says_its_counts() -> None:
    verdict = check(GOOD)
    assert verdict.ok
    assert str(verdict) == "ok: executed 2, failed 1, succeeded 1"


@pytest.mark.parametrize(
    ("history", "finding"),
    [
        (replace(GOOD, states={A: TaskState.SUCCEEDED}), "lost"),
        (replace(GOOD, states={A: TaskState.SUCCEEDED, B: TaskState.RUNNING}), "unsettled"),
        (replace(GOOD, executed=(*GOOD.executed, ("J1", "a", 1))), "duplicates"),
        (replace(GOOD, executed=(*GOOD.executed, ("J9", "a", 1))), "phantoms"),
        (replace(GOOD, executed=(("J1", "b", 1),)), "unproven"),
    ],
)
def test_each_kind_of_damage_is_found(history: History, finding: str) -> None:
    verdict = check(history)
    assert getattr(verdict, finding) and not verdict.ok
    assert finding.upper() in str(verdict)


def test_a_second_attempt_is_no_duplicate() -> None:
    assert check(replace(GOOD, executed=(*GOOD.executed, ("J1", "b", 2)))).ok


def test_the_log_lines_are_what_a_task_finds_in_its_environment() -> None:
    assert parse_log(["web-1.J1.2\n"]) == (("J1", "web-1", 2),)
