from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.domain.errors import WrongState
from corral.domain.task import OPEN, RANK, TERMINAL, TRANSITIONS, TaskState, may_move, may_retry, move, summary

states = st.sampled_from(TaskState)


@given(st.lists(states, max_size=30))
def test_a_task_reaches_at_most_one_terminal_state_whatever_is_reported(reports: list[TaskState]) -> None:
    current, ended = TaskState.QUEUED, 0
    for new in reports:
        if may_move(current, new):
            current = move(current, new)
            ended += current in TERMINAL
    assert ended == (current in TERMINAL)


@given(states, states)
def test_every_allowed_move_goes_forward_in_rank(current: TaskState, new: TaskState) -> None:
    if may_move(current, new):
        assert RANK[new] > RANK[current]


def test_an_illegal_move_names_both_states() -> None:
    with pytest.raises(WrongState, match=r"'succeeded' to 'running'"):
        move(TaskState.SUCCEEDED, TaskState.RUNNING)


def test_terminal_states_allow_nothing_and_open_states_allow_something() -> None:
    assert all(not TRANSITIONS[state] for state in TERMINAL)
    assert all(TRANSITIONS[state] for state in OPEN)


def test_only_an_ended_attempt_that_did_not_succeed_may_be_tried_again() -> None:
    assert [s for s in TaskState if may_retry(s)] == [
        s for s in TaskState if s in TERMINAL and s is not TaskState.SUCCEEDED
    ]


def test_a_summary_counts_each_state_once() -> None:
    assert summary([TaskState.FAILED, TaskState.FAILED, TaskState.QUEUED]) == {TaskState.FAILED: 2, TaskState.QUEUED: 1}
