"""The adaptive throttle as a table, and what holds for any history."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.domain.throttle import (
    ThrottlePolicy,
    ThrottleSample,
    ThrottleState,
    bandwidth_allowed,
    decide,
    slots_allowed,
)

POLICY = ThrottlePolicy()


@pytest.mark.parametrize(
    ("cpu", "load", "factor", "expected"),
    [
        (76, 0.1, 1.0, 0.9),
        (10, 1.3, 1.0, 0.9),
        (75, 1.2, 1.0, 1.0),
        (54, 0.7, 0.5, 0.6),
        (54, 0.9, 0.5, 0.5),
        (60, 0.1, 0.5, 0.5),
        (99, 9.0, 0.3, 0.3),
        (99, 9.0, 0.35, 0.3),
        (1, 0.0, 1.0, 1.0),
        (1, 0.0, 0.95, 1.0),
    ],
)
def test_one_step_at_a_time_between_the_bounds(cpu, load, factor, expected):
    state = decide(POLICY, ThrottleSample(cpu_percent=cpu, load_per_cpu=load), ThrottleState(factor=factor), 100.0)
    assert state.factor == expected
    assert (state.changed_at == 100.0) is (expected != factor)


def test_after_a_change_it_rests_for_the_cooldown():
    busy = ThrottleSample(cpu_percent=99, load_per_cpu=9)
    first = decide(POLICY, busy, ThrottleState(), 0.0)
    assert decide(POLICY, busy, first, 14.9) is first
    assert decide(POLICY, busy, first, 15.0).factor == 0.8


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50), st.floats(0, 60)), max_size=50))
def test_whatever_happens_the_factor_stays_in_its_bounds(history):
    state, now = ThrottleState(), 0.0
    for cpu, load, passed in history:
        now += passed
        state = decide(POLICY, ThrottleSample(cpu_percent=cpu, load_per_cpu=load), state, now)
        assert POLICY.min_factor <= state.factor <= 1
        assert slots_allowed(10, 128, state.factor) >= 3


def test_limits_follow_the_factor_but_never_stop_the_work():
    assert [slots_allowed(10, 128, f) for f in (1, 0.9, 0.3)] == [10, 9, 3]
    assert slots_allowed(1, 128, 0.3) == 1
    assert slots_allowed(500, 128, 1) == 128
    assert bandwidth_allowed(0, 1 << 20, 0.3) == 0
    assert bandwidth_allowed(10 << 20, 1 << 20, 0.5) == 5 << 20
    assert bandwidth_allowed(2 << 20, 1 << 20, 0.3) == 1 << 20
    assert bandwidth_allowed(1000, 1 << 20, 0.3) == 1000
