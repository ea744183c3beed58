"""Passwords: argon2id with the parameters we say, off the loop, a few at a time."""

from __future__ import annotations

import asyncio
import threading

import pytest

from corral.domain.errors import TooMany
from corral.server.infrastructure.auth import hasher as module
from corral.server.infrastructure.auth.hasher import Argon2Hasher


@pytest.fixture
def cheap() -> Argon2Hasher:
    return Argon2Hasher(memory_kib=64, passes=1)


async def test_a_hash_is_argon2id_with_rfc_9106s_second_choice() -> None:
    made = await Argon2Hasher().hash("correct horse battery")
    assert made.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


async def test_the_right_password_verifies_and_nothing_else(cheap: Argon2Hasher) -> None:
    made = await cheap.hash("correct horse battery")
    assert made != await cheap.hash("correct horse battery")
    assert await cheap.verify(made, "correct horse battery")
    for known, password in (
        (made, "correct horse batterz"),
        (made, ""),
        (None, "correct horse battery"),
        (None, "nobody has this password"),
        ("", "correct horse battery"),
        ("$argon2id$nonsense", "correct horse battery"),
    ):
        assert not await cheap.verify(known, password)


async def test_an_accented_letter_is_the_same_however_it_was_composed(cheap: Argon2Hasher) -> None:
    made = await cheap.hash("caf\u00e9 au lait, s'il vous pla\u00eet")
    assert await cheap.verify(made, "cafe\u0301 au lait, s'il vous plai\u0302t")


async def test_a_hash_of_other_parameters_verifies_and_is_outdated(cheap: Argon2Hasher) -> None:
    old = await cheap.hash("correct horse battery")
    today = Argon2Hasher()
    assert await today.verify(old, "correct horse battery")
    assert today.outdated(old)
    assert not cheap.outdated(old)
    assert today.outdated("nonsense")


async def test_two_are_computed_at_a_time_and_a_long_queue_is_refused(
    cheap: Argon2Hasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, lock = threading.Event(), threading.Lock()
    inside = most = 0

    def slow(password: bytes) -> str:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        assert go.wait(20)
        with lock:
            inside -= 1
        return "made"

    monkeypatch.setattr(cheap, "_argon2", type("Slow", (), {"hash": staticmethod(slow)}))
    wanted = module.AT_ONCE + module.WAITING_MAX
    waiting = [asyncio.ensure_future(cheap.hash(str(number))) for number in range(wanted)]
    while cheap._waiting < module.WAITING_MAX:
        await asyncio.sleep(0.001)
    with pytest.raises(TooMany):
        await cheap.hash("one more")
    go.set()
    assert await asyncio.gather(*waiting) == ["made"] * wanted
    assert most == module.AT_ONCE
    assert await cheap.hash("again") == "made"
