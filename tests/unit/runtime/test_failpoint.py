"""Failpoints: nothing unless asked for; die at the n-th time; stand still while a file exists."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.runtime import failpoint


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoint.arm({})


def test_without_the_variable_a_point_does_nothing() -> None:
    failpoint.arm({})
    failpoint.hit("after_commit")


@pytest.mark.parametrize("text", ["after_commit", "after_commit:explode", ":kill", "a:kill@x"])
def test_what_is_no_failpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        failpoint.parse(text)


def test_a_process_dies_the_third_time_it_gets_there() -> None:
    program = "from corral.runtime import failpoint\nfor n in range(5): print(n, flush=True); failpoint.hit('here')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "CORRAL_FAILPOINT": "elsewhere:kill,here:kill@3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["0", "1", "2"]


async def test_a_gate_holds_while_its_file_exists(tmp_path: Path) -> None:
    file = tmp_path / "hold"
    file.touch()
    failpoint.arm({"CORRAL_FAILPOINT": f"ingest:hold={file}"})
    waiting = asyncio.create_task(failpoint.gate("ingest"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    file.unlink()
    await asyncio.wait_for(waiting, 2)
