"""Renewal in time, after expiry, and when the engine keeps us out; with a stand-in child."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from corral.agent.daemon import renewal
from corral.agent.daemon.renewal import Renewal, due_at, lifetime
from corral.runtime.clock import SystemClock
from corral.runtime.lifecycle import TaskSet
from corral.testing.clock import FakeClock
from corral.testing.link import MemoryEngine, MemoryLink

DAY = 86400.0


def jwt(issued: float, expires: float | None) -> str:
    claims = {"iat": issued} | ({"exp": expires} if expires else {})
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"header.{body}.signature"


def test_the_life_of_a_credential_is_read_without_trusting_it() -> None:
    assert lifetime(jwt(1000, 2000)) == (1000, 2000)
    for text in ("", "x", "a.b.c", "a.!!.c", jwt(1000, None), "a.W10.c"):
        assert lifetime(text) is None


def test_a_credential_is_due_around_two_thirds_of_its_life_and_not_for_all_at_once() -> None:
    moments = {due_at(jwt(0, 30 * DAY)) for _ in range(100)}
    assert all(moment is not None and 0.6 * 30 * DAY < moment < 0.75 * 30 * DAY for moment in moments)
    assert len(moments) > 50
    assert due_at(jwt(0, None)) is None


class Scene:
    """The child is a stand-in: it appends a line to `calls` and, when told so, writes a new credential."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.engine = MemoryEngine()
        self.link: MemoryLink = self.engine.link()
        self.file, self.calls, self.new = folder / "jwt", folder / "calls", folder / "new"
        self.real = SystemClock(0)
        text = f"echo called >>{self.calls}; test -e {self.new} && mv {self.new} {self.file}"
        self.renewal = Renewal(jwt=self.file.read_text, argv=["/bin/sh", "-c", text], link=self.link, clock=self.clock)

    def wall(self) -> float:
        return self.clock.wall()

    @property
    def called(self) -> int:
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0

    async def pass_time(self, seconds: float) -> None:
        """In steps; a child needs real time, which passes between them."""
        step = seconds / 20
        for _ in range(20):
            await self.clock.advance(step)
            if self.called:
                await self.real.sleep(0.005)


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr(renewal, "LOOK_SECONDS", 600.0)  # weeks pass here
    scene, tasks = Scene(tmp_path), TaskSet("scene")
    scene.file.write_text(jwt(scene.wall(), scene.wall() + 30 * DAY))
    tasks.start(scene.link.run(lambda: None), name="link")
    tasks.start(scene.renewal.run(lambda: None), name="renewal")
    await scene.clock.advance(0)
    yield scene
    await tasks.close()


async def test_nothing_happens_before_it_is_due(scene: Scene) -> None:
    await scene.pass_time(17 * DAY)
    assert scene.called == 0


async def test_when_due_it_is_renewed_once(scene: Scene) -> None:
    scene.new.write_text(jwt(scene.wall() + 22 * DAY, scene.wall() + 52 * DAY))
    await scene.pass_time(23 * DAY)
    await scene.pass_time(7200)
    assert scene.called == 1
    assert scene.renewal.renewed == 1


async def test_when_the_server_does_not_answer_it_tries_again_ever_more_rarely(scene: Scene) -> None:
    scene.clock.step_wall(40 * DAY)  # long expired
    await scene.pass_time(1800)
    first = scene.called
    assert 1 <= first <= 6
    await scene.pass_time(4 * 3600)
    assert first < scene.called <= first + 8


async def test_a_node_the_engine_keeps_out_asks_for_a_new_credential_though_its_clock_says_no(scene: Scene) -> None:
    scene.engine.down()
    await scene.pass_time(renewal.SHUT_OUT_SECONDS + 1800)
    assert scene.called >= 1


async def test_a_child_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "CHILD_SECONDS", 0.3)
    hanging = Renewal(
        jwt=lambda: "",
        argv=[sys.executable, "-S", "-E", "-c", "import time; time.sleep(60)"],
        link=MemoryEngine().link(),
        clock=SystemClock(0),
    )
    assert await hanging._child() is None
