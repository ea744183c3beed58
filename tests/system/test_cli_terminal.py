"""The command line as a real process: on a terminal, in a pipe, and interrupted."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from corral.testing.fake_api import TOKEN, Act, FakeApi, default_act, node

COMMAND = [sys.executable, "-m", "corral"]
DEADLINE_SECONDS = 20.0


def act(name: str, body: Mapping[str, Any]) -> Act:
    word = (body.get("argv") or [""])[0]
    if word == "slow":
        return Act(stdout=b"working\n", seconds=1.2)
    if word == "evil":
        return Act(stdout=b"\x1b]0;owned\x07a \x1b[31mred\x1b[0m\x1b[2J b\x07 \xff\n")
    return default_act(name, body)


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi([node("web-1"), node("web-2")], act=act) as server:
        yield server


def environment(api: FakeApi, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "CORRAL_URL": api.url, "CORRAL_TOKEN": TOKEN, "TERM": "xterm-256color", **more}


class Terminal:
    """A process on a pseudo terminal; everything it shows is kept."""

    def __init__(self, words: list[str], env: Mapping[str, str], cwd: Path) -> None:
        self.fd, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.process = subprocess.Popen(
            [*COMMAND, *words], stdin=slave, stdout=slave, stderr=slave, env=dict(env), cwd=cwd, start_new_session=True
        )
        os.close(slave)
        self.shown = ""

    def read_until(self, done: Callable[[str], bool]) -> str:
        until = time.monotonic() + DEADLINE_SECONDS
        while not done(self.shown):
            if time.monotonic() > until:
                raise TimeoutError(f"not shown within {DEADLINE_SECONDS:g} s; shown: {self.shown!r}")
            if not select.select([self.fd], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                break
            self.shown += data.decode("utf-8", "replace").replace("\r\n", "\n")
        return self.shown

    def finish(self) -> int:
        self.read_until(lambda shown: False)
        status = self.process.wait(DEADLINE_SECONDS)
        os.close(self.fd)
        return status

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())


def plain(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[mK]", "", shown)


def test_a_terminal_gets_names_colours_and_nothing_dangerous(api: FakeApi, tmp_path: Path) -> None:
    terminal = Terminal(["exec", "run", "-t", "all", "--", "evil"], environment(api), tmp_path)
    assert terminal.finish() == 0
    assert "web-1: a red b\\x07 �\n" in plain(terminal.shown)
    assert "\x1b[31mred\x1b[0m" in terminal.shown
    assert not re.search(r"\x1b\]|\x1b\[2J|\x07", terminal.shown)
    assert "2 nodes: OK (web-1, web-2)" in plain(terminal.shown)


def test_no_color_means_no_escape_at_all(api: FakeApi, tmp_path: Path) -> None:
    words = ["exec", "run", "-t", "all", "--", "evil"]
    for terminal in (
        Terminal(words, environment(api, NO_COLOR="1"), tmp_path),
        Terminal([*words[:2], "--no-color", *words[2:]], environment(api), tmp_path),
    ):
        assert terminal.finish() == 0
        assert "\x1b[3" not in terminal.shown


def test_a_slow_job_has_a_status_line_that_is_gone_at_the_end(api: FakeApi, tmp_path: Path) -> None:
    terminal = Terminal(["exec", "run", "-t", "all", "--", "slow"], environment(api), tmp_path)
    assert terminal.finish() == 0
    assert "0/2  2 running" in terminal.shown
    assert plain(terminal.shown).rstrip().splitlines()[-1].startswith("2 nodes: OK")
    wiped = terminal.shown[terminal.shown.rindex("running") :]
    assert "\r\x1b[K" in wiped


def test_a_pipe_gets_neither_status_line_nor_escapes_of_ours(api: FakeApi, tmp_path: Path) -> None:
    words = [*COMMAND, "exec", "run", "-t", "all", "--", "slow"]
    done = subprocess.run(words, env=environment(api), cwd=tmp_path, capture_output=True, timeout=DEADLINE_SECONDS)
    assert done.returncode == 0
    assert sorted(done.stdout.splitlines()) == [b"web-1: working", b"web-2: working"]
    assert b"\x1b" not in done.stderr
    assert b"\r" not in done.stderr


def test_above_twenty_nodes_a_terminal_is_asked_and_no_runs_nothing(api: FakeApi, tmp_path: Path) -> None:
    api.nodes = {f"n{number:02}": node(f"n{number:02}") for number in range(21)}
    terminal = Terminal(["exec", "run", "-t", "all", "--", "true"], environment(api), tmp_path)
    terminal.read_until(lambda shown: "[y/N]" in shown)
    assert "21 nodes" in terminal.shown
    terminal.type("n\n")
    assert terminal.finish() == 1
    assert not api.jobs
    for extra, answer in (([], "y\n"), (["--yes"], "")):
        terminal = Terminal(["exec", "run", "-t", "all", *extra, "--", "true"], environment(api), tmp_path)
        terminal.type(answer)
        assert terminal.finish() == 0
    assert len(api.jobs) == 2


def test_twenty_nodes_are_not_asked_about(api: FakeApi, tmp_path: Path) -> None:
    api.nodes = {f"n{number:02}": node(f"n{number:02}") for number in range(20)}
    terminal = Terminal(["exec", "run", "-t", "all", "--", "true"], environment(api), tmp_path)
    assert terminal.finish() == 0


def test_ctrl_c_detaches_says_how_to_go_on_and_leaves_the_job_running(api: FakeApi, tmp_path: Path) -> None:
    terminal = Terminal(["exec", "run", "-t", "all", "--", "sleep", "1000"], environment(api), tmp_path)
    terminal.read_until(lambda shown: "2 running" in shown)
    os.kill(terminal.process.pid, signal.SIGINT)
    assert terminal.finish() == 130
    (job,) = api.jobs
    assert f"detached: {job} goes on" in terminal.shown
    assert f"corral exec cancel {job}" in terminal.shown
    assert "Traceback" not in terminal.shown
    assert api.jobs[job].data["cancel_asked"] is False
    assert {task["state"] for task in api.jobs[job].tasks.values()} == {"running"}


def test_ctrl_c_in_a_pipe_detaches_too(api: FakeApi, tmp_path: Path) -> None:
    words = [*COMMAND, "exec", "run", "-t", "all", "--", "sleep", "1000"]
    process = subprocess.Popen(
        words, env=environment(api), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    assert b"sleep 1000 on 2 nodes" in first
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 130
    assert b"goes on" in err
    assert b"Traceback" not in err


def test_ctrl_c_while_following_logs_stops_following_only(api: FakeApi, tmp_path: Path) -> None:
    words = [*COMMAND, "exec", "run", "-t", "all", "--detach", "-q", "--", "sleep", "1000"]
    job = subprocess.run(words, env=environment(api), cwd=tmp_path, capture_output=True, check=True, timeout=20).stdout
    terminal = Terminal(["exec", "logs", job.decode().strip(), "--follow"], environment(api), tmp_path)
    until = time.monotonic() + DEADLINE_SECONDS
    while not any("/output?follow=1" in target for _, target in list(api.requests)):
        assert time.monotonic() < until
        time.sleep(0.01)
    os.kill(terminal.process.pid, signal.SIGINT)
    assert terminal.finish() == 130
    assert "goes on" in terminal.shown


def test_a_reader_that_leaves_is_no_traceback(api: FakeApi, tmp_path: Path) -> None:
    api.act = lambda name, body: Act(stdout=b"line\n" * 50_000)
    command = f"{sys.executable} -m corral exec run -t all -- x | head -1"
    done = subprocess.run(
        ["bash", "-c", command], env=environment(api), cwd=tmp_path, capture_output=True, timeout=DEADLINE_SECONDS
    )
    assert done.stdout.count(b"\n") == 1
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr


def test_the_context_file_of_the_working_directory_is_found(api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / ".corral").mkdir()
    path = tmp_path / ".corral" / "local.json"
    path.write_text(f'{{"url": "{api.url}", "token": "{TOKEN}", "ca": null}}')
    path.chmod(0o600)
    deeper = tmp_path / "a" / "b"
    deeper.mkdir(parents=True)
    env = {name: os.environ[name] for name in ("PATH",) if name in os.environ} | {"HOME": str(tmp_path)}
    words = [*COMMAND, "node", "list", "-o", "name"]
    done = subprocess.run(words, env=env, cwd=deeper, capture_output=True, text=True, timeout=DEADLINE_SECONDS)
    assert (done.returncode, done.stdout) == (0, "web-1\nweb-2\n")
