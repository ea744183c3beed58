"""A newcomer's first minute: an empty fleet, the commands it shows, a node that turns green by itself, and a first command on it."""

from __future__ import annotations

import contextlib
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from conftest import Open, Site

BOUND_SECONDS = 60.0
PLACE = "/usr/local/lib/"


class Machine:
    """The newcomer's machine: runs the lines the page shows, its own folder standing for the places that only root may write."""

    def __init__(self, folder: Path) -> None:
        self._state = folder / "state"
        self._folder = folder
        self._lib = folder / "lib"
        self._lib.mkdir()
        self._started: list[subprocess.Popen[bytes]] = []

    def words(self, line: str, *more: str) -> list[str]:
        words = shlex.split(line.replace(PLACE, f"{self._lib}/"))
        program = {"corral": [sys.executable, "-m", "corral"], "python3": [sys.executable, "-S", "-E"]}
        return [*program.get(words[0], words[:1]), *words[1:], *more]

    def run(self, line: str, *more: str) -> str:
        done = subprocess.run(self.words(line, *more), cwd=self._folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def enrol(self, line: str, *more: str) -> str:
        return self.run(line, "--state", str(self._state), "--id", "first-node", *more)

    def start(self, line: str) -> None:
        """One of the lines that start a process in the background; here it stays ours, to be ended by its id."""
        words = shlex.split(line)
        assert words[:2] == ["setsid", "nohup"]
        assert words[-1] == "&"
        command = shlex.join(words[2:-4])
        self._started.append(
            subprocess.Popen(
                self.words(command, "--state", str(self._state), "--keep-worker", "false"),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    def stop(self) -> None:
        for process in self._started:
            process.send_signal(signal.SIGTERM)
        for process in self._started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            if process.poll() is None:
                process.kill()
                process.wait()


@contextlib.contextmanager
def machine(folder: Path) -> Iterator[Machine]:
    made = Machine(folder)
    try:
        yield made
    finally:
        made.stop()


def lines(page: Page) -> list[str]:
    shown = page.locator("ol.steps code")
    shown.first.wait_for()
    return shown.all_inner_texts()


def test_a_newcomer_brings_a_node_and_runs_a_first_command_within_a_minute(
    empty_site: Site, open_page: Open, tmp_path: Path, axe: Callable[[Page], list[str]]
) -> None:
    with machine(tmp_path) as newcomer:
        page, _ = open_page(empty_site, "/")
        page.reload()
        began = time.monotonic()
        expect(page.get_by_text("only this machine can become a node")).to_be_visible()
        shown = len(lines(page))
        assert axe(page) == []
        page.get_by_role("button", name="without systemd").click()
        expect(page.locator("ol.steps code")).to_have_count(shown + 1)
        bundle, carry, enrol, *start = lines(page)
        newcomer.run(bundle)
        newcomer.run(carry)
        newcomer.enrol(enrol)
        expect(page.get_by_role("heading", name="first-node has enrolled and was not started yet")).to_be_visible()
        assert lines(page)[-2:] == start
        for line in start:
            newcomer.start(line)
        expect(page.get_by_role("link", name=re.compile("^1 online"))).to_be_visible(timeout=30_000)
        expect(page.locator("ol.steps")).to_have_count(0)
        green = time.monotonic() - began
        page.get_by_role("link", name="Run a command").click()
        page.get_by_label("Command", exact=True).fill("echo hello from the first node")
        page.get_by_role("button", name=re.compile("^Run on 1 node")).click()
        expect(page.get_by_label("Result of 1 node")).to_contain_text("hello from the first node", timeout=30_000)
        took = time.monotonic() - began
        print(f"first node: green after {green:.1f} s, first output after {took:.1f} s")
        assert took < BOUND_SECONDS


def test_the_commands_for_systemd_write_the_units_they_start(empty_site: Site, open_page: Open, tmp_path: Path) -> None:
    """The units alone: starting them is systemd's."""
    if empty_site.call("GET", "/nodes"):
        empty_site.call("DELETE", "/nodes/first-node?force=true")
    page, _ = open_page(empty_site, "/")
    expect(page.locator("ol.steps code")).to_have_count(4)
    bundle, carry, enrol, start = lines(page)
    newcomer = Machine(tmp_path)
    newcomer.run(bundle)
    newcomer.run(carry)
    units = tmp_path / "units"
    units.mkdir()
    said = newcomer.enrol(enrol, "--unit-dir", str(units))
    assert start in said
    assert sorted(unit.name for unit in units.iterdir()) == re.findall(r"corral-\w+\.service", start)
    assert f"{tmp_path}/lib/corral-agent.pyz agent daemon" in (units / "corral-daemon.service").read_text()
