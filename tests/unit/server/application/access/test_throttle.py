from __future__ import annotations

import pytest

from corral.domain.errors import TooMany
from corral.server.application.access.throttle import LoginThrottle


def locked(throttle: LoginThrottle, now: float, address: str = "a") -> bool:
    try:
        throttle.check(address, "", now=now)
    except TooMany:
        return True
    return False


def test_each_lock_out_is_twice_as_long_up_to_an_hour() -> None:
    throttle = LoginThrottle(attempts=2, lockout_seconds=30)
    now, lengths = 0.0, []
    for _ in range(10):
        for _ in range(2):
            throttle.failed("a", "", now=now)
        begun = now
        while locked(throttle, now):
            now += 1
        lengths.append(now - begun)
    assert lengths[:4] == [30, 60, 120, 240]
    assert lengths[-1] == 3600


def test_success_and_time_forgive() -> None:
    throttle = LoginThrottle(attempts=2)
    throttle.failed("a", "", now=0)
    throttle.succeeded("a", "")
    throttle.failed("a", "", now=1)
    assert not locked(throttle, 1)
    throttle.failed("a", "", now=4000)
    assert not locked(throttle, 4000)


def test_one_address_does_not_lock_another_out() -> None:
    throttle = LoginThrottle(attempts=1)
    throttle.failed("a", "", now=0)
    assert locked(throttle, 0)
    assert not locked(throttle, 0, "b")


def test_memory_is_bounded() -> None:
    throttle = LoginThrottle(attempts=1)
    for number in range(20_000):
        throttle.failed(str(number), "", now=0)
    assert len(throttle._failures) == 10_000
    with pytest.raises(TooMany):
        throttle.check("19999", "", now=0)
