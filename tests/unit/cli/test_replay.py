"""A replay: order, pace and window of what is shown, and what it does without times of output."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from corral.cli.replay import replay
from corral.cli.session import Session
from corral.domain.errors import NotFound
from corral.sdk.events import Output
from corral.sdk.models import Job

START = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
ZERO = START.timestamp()


class Standing:
    """A clock that is moved by whoever sleeps."""

    def __init__(self) -> None:
        self.at = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return START + timedelta(seconds=self.at)

    def wall(self) -> float:
        return ZERO + self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.at += seconds


class Jobs:
    def __init__(self, chunks: list[Output], *, nodes: tuple[str, ...] = ("web-1",)) -> None:
        self.chunks = chunks
        tasks = [
            {
                "node": node,
                "state": "succeeded",
                "exit_code": 0,
                "attempt": 1,
                "started_at": START.isoformat(),
                "finished_at": (START + timedelta(seconds=10)).isoformat(),
            }
            for node in nodes
        ]
        self.job = Job.from_json({"job": "J1", "state": "succeeded", "command": "make", "tasks": tasks})

    async def get(self, job: str) -> Job:
        return self.job

    async def output(self, job: str, *, node: str | None, follow: bool) -> AsyncGenerator[Output, None]:
        for chunk in self.chunks:
            yield chunk


class Fleet:
    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs


def chunk(text: str, at: float, *, node: str = "web-1", offset: int = 0) -> Output:
    return Output(node, 1, "stdout", offset, text.encode(), 0, ZERO + at if at else 0.0)


THREE = [chunk("one\n", 1), chunk("two\n", 5, offset=4), chunk("three\n", 9, offset=8)]


async def play(jobs: Jobs, node: str | None = None, **options: Any) -> tuple[int, Standing]:
    clock = Standing()
    session = Session(clock=clock)
    pace = {"speed": 1.0, "begin": 0.0, "end": None} | options
    return await replay(session, Fleet(jobs), "J1", node, **pace), clock  # type: ignore[arg-type]  # a fleet of jobs alone


async def test_output_comes_in_the_time_it_took(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    status, clock = await play(Jobs(THREE))
    out, err = capfdbinary.readouterr()
    assert (status, out) == (0, b"one\ntwo\nthree\n")
    assert clock.slept == [1, 4, 4, 1]
    assert b"as the server stored it" in err
    assert b"[    0.000 s] web-1: started" in err and b"[   10.000 s] web-1: succeeded, exit code 0" in err


async def test_speed_and_window_are_kept(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    _, clock = await play(Jobs(THREE), speed=4.0, begin=3.0, end=6.0)
    assert capfdbinary.readouterr().out == b"two\n"
    assert clock.slept == [0.5]


async def test_without_times_output_is_spread_over_the_run_and_the_header_says_so(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    _, clock = await play(Jobs([chunk("a" * 49 + "\n", 0), chunk("b" * 49 + "\n", 0, offset=50)]))
    out, err = capfdbinary.readouterr()
    assert out.count(b"\n") == 2
    assert clock.slept == [5, 5]
    assert b"no times of output are kept" in err


async def test_nodes_are_told_apart_and_chosen(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    chunks = [chunk("one\n", 1), chunk("uno\n", 2, node="web-2")]
    await play(Jobs(chunks, nodes=("web-1", "web-2")))
    assert capfdbinary.readouterr().out == b"web-1: one\nweb-2: uno\n"
    await play(Jobs(chunks, nodes=("web-1", "web-2")), "web-2")
    assert capfdbinary.readouterr().out == b"uno\n"
    with pytest.raises(NotFound):
        await play(Jobs(chunks), "web-9")


async def test_interrupted_it_shows_what_it_had_and_says_that_it_stopped(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    class Interrupted(Standing):
        async def sleep(self, seconds: float) -> None:
            raise asyncio.CancelledError

    session = Session(clock=Interrupted())
    jobs = Jobs([chunk("half", 0.001), chunk(" a line\n", 5, offset=4)])
    status = await replay(session, Fleet(jobs), "J1", None, speed=1.0, begin=0.0, end=None)  # type: ignore[arg-type]  # a fleet of jobs alone
    out, err = capfdbinary.readouterr()
    assert (status, out) == (130, b"half\n")
    assert err.endswith(b"stopped\n")
