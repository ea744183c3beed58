"""Guessing slows down: when a name is locked, for how long, and what takes a failure back."""

from __future__ import annotations

from typing import Any

import pytest

from corral.domain.errors import TooMany
from corral.server.application.access.lockout import (
    ADDRESS_FACTOR,
    FORGET_SECONDS,
    LONGEST_SECONDS,
    Lockout,
    Patience,
    network,
)
from corral.testing.clock import FakeClock
from corral.testing.people_stores import MemoryAttemptStore

HERE = "192.0.2.1"


class Door:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryAttemptStore()
        self.lockout = Lockout(store=self.store, clock=self.clock, patience=Patience(attempts=3, lockout_seconds=30))

    async def knock(self, name: str = "ada", address: str = HERE) -> bool:
        """Whether the attempt was let through to be looked at; it fails then."""
        try:
            await self.lockout.begin(address=address, name=name)
        except TooMany:
            return False
        return True

    async def opens(self, name: str = "ada", address: str = HERE) -> bool:
        if not await self.knock(name, address):
            return False
        await self.lockout.succeeded(address=address, name=name)
        return True

    def wait(self, seconds: float) -> None:
        self.clock.step_wall(seconds)


async def test_the_attempt_that_reaches_the_limit_is_still_looked_at() -> None:
    door = Door()
    assert [await door.knock() for _ in range(5)] == [True, True, True, False, False]


async def test_each_lock_is_twice_as_long_and_none_longer_than_a_quarter_of_an_hour() -> None:
    door = Door()
    for _ in range(3):
        assert await door.knock()
    seconds = 30.0
    for _ in range(12):
        door.wait(seconds - 1)
        assert not await door.knock()
        door.wait(1)
        assert await door.knock()  # one attempt, which fails and locks again
        assert not await door.knock()
        seconds = min(LONGEST_SECONDS, seconds * 2)
    assert seconds == LONGEST_SECONDS == 900


async def test_knocking_while_it_is_locked_makes_it_no_longer() -> None:
    door = Door()
    for _ in range(3):
        await door.knock()
    for _ in range(29):
        door.wait(1)
        assert not await door.knock()
    door.wait(1)
    assert await door.opens()


async def test_success_forgives_the_name_also_when_it_was_the_attempt_that_locked() -> None:
    door = Door()
    assert [await door.knock(), await door.knock(), await door.opens()] == [True, True, True]
    assert [await door.knock() for _ in range(4)] == [True, True, True, False]


async def test_one_valid_account_does_not_make_guessing_at_others_free() -> None:
    door = Door()
    limit = 3 * ADDRESS_FACTOR
    looked_at = 0
    for number in range(3 * limit):
        await door.opens("mallory")
        looked_at += await door.knock(f"victim-{number}")
    assert looked_at <= limit


async def test_an_office_behind_one_address_may_fail_more_often_than_one_name() -> None:
    door = Door()
    assert [await door.knock("ada") for _ in range(4)] == [True, True, True, False]
    assert await door.opens("bob")
    assert not await door.knock("ada", "192.0.2.99")


async def test_after_an_hour_everything_is_forgotten() -> None:
    door = Door()
    for _ in range(3):
        await door.knock()
    door.wait(FORGET_SECONDS + 31)
    assert [await door.knock() for _ in range(4)] == [True, True, True, False]


async def test_old_rows_do_not_pile_up() -> None:
    door = Door()
    for number in range(20):
        await door.knock(f"name-{number}", f"192.0.2.{number}")
    assert len(door.store.rows) == 40
    door.wait(FORGET_SECONDS + 1)
    await door.clock.advance(301)
    await door.knock()
    assert len(door.store.rows) == 2


@pytest.mark.parametrize("name", ["x" * 10_000, "ada\0", "address:192.0.2.1"])
async def test_what_somebody_types_as_a_name_is_a_bounded_key_of_its_own(name: str) -> None:
    door = Door()
    await door.knock(name)
    assert all(len(key) <= 160 for key in door.store.rows)
    assert await door.opens("ada")


async def test_a_flood_at_a_locked_door_costs_no_transaction_and_the_lock_still_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    door = Door()
    for _ in range(4):
        await door.knock()
    asked = 0
    real = door.store.update

    async def update(*words: Any) -> None:
        nonlocal asked
        asked += 1
        await real(*words)

    monkeypatch.setattr(door.store, "update", update)
    for _ in range(1000):
        assert not await door.knock()
    assert asked == 0
    with pytest.raises(TooMany, match="locked for 31 s"):
        await door.lockout.begin(address=HERE, name="ada")
    for _ in range(29):
        door.wait(1)
        assert not await door.knock()
    assert 0 < asked < 10
    door.wait(1)
    assert await door.knock()


async def test_the_addresses_of_one_ipv6_network_are_one() -> None:
    door = Door()
    looked_at = sum([await door.knock(f"name-{n}", f"2001:db8:0:1::{n:x}") for n in range(40)])
    assert looked_at == 3 * ADDRESS_FACTOR
    assert await door.knock("somebody", "2001:db8:0:2::1")
    assert network("::ffff:192.0.2.7") == network("192.0.2.7") == "192.0.2.7"
    assert network("unix:/run/corral.sock") == "unix:/run/corral.sock"
