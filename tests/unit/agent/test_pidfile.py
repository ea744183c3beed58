"""A pid file names one process for all time."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from corral.agent import pidfile


def test_what_we_wrote_names_us_and_goes_when_we_take_it_off(tmp_path: Path) -> None:
    path = tmp_path / "daemon.pid"
    pidfile.write(path)
    assert pidfile.read(path) == pidfile.myself()
    assert path.read_text().split()[0] == str(os.getpid())
    pidfile.remove(path)
    assert not path.exists()


def test_a_dead_process_another_start_and_another_boot_are_nobody(tmp_path: Path) -> None:
    path, me = tmp_path / "worker.pid", pidfile.myself()
    child = subprocess.Popen(["sleep", "60"])
    start = pidfile.start_of(child.pid)
    path.write_text(f"{child.pid} {start} {me.boot_id}\n")
    assert pidfile.read(path) == pidfile.Process(child.pid, start or 0, me.boot_id)
    child.kill()
    child.wait()
    assert pidfile.read(path) is None
    for text in (f"{me.pid} {me.start + 1} {me.boot_id}", f"{me.pid} {me.start} other-boot", "", "x y z", "1 2", "\0"):
        path.write_text(text)
        assert pidfile.read(path) is None


def test_a_zombie_does_not_run() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert pidfile.start_of(child.pid) is None
    child.wait()


def test_another_process_keeps_its_file(tmp_path: Path) -> None:
    path = tmp_path / "worker.pid"
    path.write_text(f"1 {pidfile.start_of(1)} {pidfile.boot_id()}\n")
    pidfile.remove(path)
    assert path.exists()
