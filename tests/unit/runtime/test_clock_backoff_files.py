from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from corral.domain.errors import Conflict
from corral.runtime.backoff import Backoff, spread
from corral.runtime.clock import SystemClock, iso
from corral.runtime.files import DirectoryLock, write_atomic
from corral.testing.clock import FakeClock


def test_delays_follow_the_list_and_then_repeat_the_last() -> None:
    policy = Backoff(delays_seconds=(1, 2, 4), jitter=0)
    assert [policy.delay(n) for n in range(5)] == [1, 2, 4, 4, 4]


def test_jitter_stays_inside_its_share() -> None:
    assert all(8 <= spread(10, 0.2) <= 12 for _ in range(200))


async def test_a_fake_clock_wakes_sleepers_in_order() -> None:
    clock, woken = FakeClock(), []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    tasks = [asyncio.ensure_future(sleeper(s)) for s in (3, 1, 2)]
    await asyncio.sleep(0)
    await clock.advance(2.5)
    assert woken == [1, 2]
    await clock.advance(1)
    assert woken == [1, 2, 3]
    await asyncio.gather(*tasks)


def test_an_offset_by_environment_shifts_wall_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORRAL_CLOCK_OFFSET", "3600")
    shifted, real = SystemClock(), SystemClock(offset_seconds=0)
    assert 3590 < shifted.wall() - real.wall() < 3610
    assert abs(shifted.monotonic() - real.monotonic()) < 5


def test_times_print_as_rfc_3339_utc() -> None:
    assert iso(FakeClock(0.5).now()) == "1970-01-01T00:00:00.500Z"


def test_an_atomic_write_keeps_the_mode_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "secret"
    write_atomic(target, b"one")
    write_atomic(target, b"two")
    assert target.read_bytes() == b"two"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["secret"]


def test_a_lock_held_by_another_process_names_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from corral.runtime.files import DirectoryLock\n"
        "DirectoryLock(Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Conflict, match=f"pid {holder.pid}"):
            DirectoryLock(tmp_path).acquire()
        holder.stdin.close()
    lock = DirectoryLock(tmp_path)
    lock.acquire()
    lock.release()
