"""The restart table of the worker, exactly (OSF-6)."""

from __future__ import annotations

import pytest

from corral.domain.restart import HEALTHY_SECONDS, Restarts, delay_seconds


def test_the_delays_are_0_10_10_30_30_and_then_60() -> None:
    assert [delay_seconds(number) for number in range(1, 9)] == [0, 10, 10, 30, 30, 60, 60, 60]


def test_a_crash_loop_follows_the_table_and_alerts_from_the_sixth_on() -> None:
    restarts, now, seen = Restarts().started(0), 0.0, []
    for _ in range(7):
        restarts, decision = restarts.died(now)
        seen.append((decision.number, decision.at - now, decision.alert))
        now = decision.at + 1
        restarts = restarts.started(now)
    assert seen == [
        (1, 0, False),
        (2, 10, False),
        (3, 10, False),
        (4, 30, False),
        (5, 30, False),
        (6, 60, True),
        (7, 60, True),
    ]


def test_ten_healthy_minutes_forget_earlier_deaths() -> None:
    restarts, _ = Restarts(count=4, up_since=0).died(HEALTHY_SECONDS)
    assert restarts.count == 1
    restarts, decision = Restarts(count=4, up_since=0).died(HEALTHY_SECONDS - 0.1)
    assert (restarts.count, decision.at) == (5, HEALTHY_SECONDS - 0.1 + 30)


def test_a_process_that_never_came_up_counts_as_one_more_death() -> None:
    restarts, first = Restarts().died(5)
    restarts, second = restarts.died(25)
    assert (first.number, second.number) == (1, 2)


@pytest.mark.parametrize("calls", [1, 3])
def test_saying_that_it_started_twice_does_not_prolong_its_proof(calls: int) -> None:
    restarts = Restarts(count=3)
    for number in range(calls):
        restarts = restarts.started(number)
    assert restarts.up_since == 0
    assert restarts.healthy(HEALTHY_SECONDS).count == 0
