"""What an earlier, killed launcher left behind: the server that holds the data is ended, whoever started it and when."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.runtime.clock import SystemClock
from corral.runtime.files import DirectoryLock
from corral.up.place import Place, stop_lock_holder

HOLD = """
import sys, time
from pathlib import Path
from corral.runtime.files import DirectoryLock
DirectoryLock(Path(sys.argv[1]), name="server.lock").acquire()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.prepare()
    return place


@pytest.fixture
def holder(place: Place) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(place.server)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


async def test_a_server_that_holds_the_data_is_ended_although_nobody_recorded_it(
    place: Place, holder: subprocess.Popen[bytes]
) -> None:
    waiting = asyncio.create_task(asyncio.to_thread(holder.wait, 20))
    await stop_lock_holder(place, SystemClock())
    await waiting
    DirectoryLock(place.server, name="server.lock").acquire()


async def test_a_lock_file_that_nobody_holds_ends_nobody(place: Place) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        (place.server / "server.lock").write_text(f"pid {stranger.pid}\n")
        await stop_lock_holder(place, SystemClock())
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_the_first_start_in_a_folder_finds_no_lock(place: Place) -> None:
    await stop_lock_holder(place, SystemClock())
