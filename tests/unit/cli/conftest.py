"""The command line in this process, against a fake server, at a fixed time and in one time zone."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from corral.cli import session
from corral.cli.main import main
from corral.runtime.clock import SystemClock
from corral.testing.fake_api import TOKEN, Act, FakeApi, default_act, node
from corral.testing.fake_jobs import START

GOLDEN = Path(__file__).parents[2] / "golden" / "cli"


class StandingClock(SystemClock):
    """Real waiting, but it is always five minutes past START."""

    def now(self) -> datetime:
        return START + timedelta(minutes=5)


@dataclass(frozen=True)
class Result:
    status: int
    out: str
    err: str


Cli = Callable[..., Result]


def act(name: str, body: Mapping[str, Any]) -> Act:
    """`mixed`: one of three nodes fails. `late`: all time out. `evil`: escape sequences. The rest as the fake does it."""
    word = (body.get("argv") or [""])[0]
    if word == "mixed" and name == "web-2":
        return Act(stderr=b"df: /data: No such file or directory\n", exit_code=1, state="failed", seconds=0.02)
    if word == "mixed":
        return Act(stdout=b"fine\n", seconds=0.01)
    if word == "late" or (word == "half-late" and name == "web-1"):
        text = "ran longer than its time limit and was stopped"
        return Act(exit_code=None, state="timed_out", reason="timeout", reason_text=text)
    if word == "evil":
        return Act(stdout=b"\x1b]0;owned\x07a \x1b[31mred\x1b[0m \x1b[2J b\x07 \xff\xfe\n")
    return default_act(name, body)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeApi]:
    fleet = [node("web-1", role="web"), node("web-2", role="web"), node("web-3", role="web"), node("db-9", "offline")]
    with FakeApi(fleet, act=act) as server:
        monkeypatch.setenv("CORRAL_URL", server.url)
        monkeypatch.setenv("CORRAL_TOKEN", TOKEN)
        yield server


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> Iterator[Cli]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "CORRAL_CA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("corral.cli.session.Session", functools.partial(session.Session, clock=StandingClock(0)))

    def run(*words: str) -> Result:
        status = main(list(words))
        out, err = capsysbinary.readouterr()
        return Result(status, out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "surrogateescape"))

    yield run
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare with tests/golden/cli/<name>.txt; CORRAL_GOLDEN=write writes it instead."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / f"{name}.txt"
        if os.environ.get("CORRAL_GOLDEN") == "write":
            path.write_text(text)
        assert text == path.read_text()

    return check
