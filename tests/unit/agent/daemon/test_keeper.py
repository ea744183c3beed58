"""The keeper against stand-in hands: when it starts a worker, when it ends one, and the restart table on the clock."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from corral.agent.daemon.keeper import FIRST_SECONDS, SILENT_SECONDS, TERM_SECONDS, Keeper
from corral.agent.daemon.worker_view import WorkerView
from corral.agent.pidfile import Process
from corral.testing.clock import FakeClock

LIMIT = 500 << 20


class Hands:
    """Workers that a test starts and kills by hand."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.process: Process | None = None
        self.last: Process | None = None
        self.memory = 40 << 20
        self.starts: list[float] = []
        self.signals: list[signal.Signals] = []
        self.pid = 100
        self.starts_work = True
        self.obeys = True

    def running(self) -> Process | None:
        return self.process

    def named(self) -> Process | None:
        return self.last

    def memory_bytes(self, process: Process) -> int:
        return self.memory

    def signal(self, process: Process, number: signal.Signals) -> None:
        assert process == self.process
        self.signals.append(number)
        if self.obeys or number is signal.SIGKILL:
            self.process = None

    def on_end(self, process: Process, call: Callable[[], None]) -> None:
        pass  # these tests look by themselves

    def start(self) -> None:
        self.starts.append(self.clock.monotonic())
        if self.starts_work:
            self.appear()

    def appear(self) -> None:
        self.pid += 1
        self.process = self.last = Process(self.pid, self.pid, "boot")


class Scene:
    def __init__(self, start: bool = True) -> None:
        self.clock = FakeClock()
        self.hands = Hands(self.clock)
        self.view = WorkerView(Path("/nonexistent"), self.clock)
        self.keeper = Keeper(workers=self.hands, view=self.view, clock=self.clock, memory_max_bytes=LIMIT, start=start)
        self.keeper._awaited_until = self.clock.monotonic() + FIRST_SECONDS
        self.answers = True

    async def run(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            if self.answers and self.hands.process is not None:
                self.view.answered_at = self.clock.monotonic()
            self.keeper.look()
            await self.clock.advance(1)

    async def until_started(self, count: int) -> None:
        for _ in range(200):
            if len(self.hands.starts) >= count:
                return
            await self.run(1)
        raise AssertionError(f"not started {count} times")


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_a_worker_that_runs_already_is_left_alone(scene: Scene) -> None:
    scene.hands.appear()
    await scene.run(100)
    assert scene.hands.starts == []
    assert scene.hands.signals == []


async def test_a_worker_that_is_missing_at_the_start_is_given_time_and_then_started(scene: Scene) -> None:
    begin = scene.clock.monotonic()
    await scene.run(20)
    assert [at - begin for at in scene.hands.starts] == [FIRST_SECONDS]


async def test_a_crash_loop_follows_the_table_and_raises_the_alert(scene: Scene) -> None:
    scene.hands.appear()
    await scene.run(3)
    gaps = []
    for number in range(1, 8):
        scene.hands.process = None
        died = scene.clock.monotonic()
        await scene.until_started(number)
        gaps.append(scene.hands.starts[-1] - died)
        await scene.run(2)
    assert gaps == [0, 10, 10, 30, 30, 60, 60]
    assert scene.keeper.alert
    assert scene.keeper.restarted == 7
    await scene.run(601)
    assert not scene.keeper.alert


async def test_a_silent_worker_is_ended_and_started_again(scene: Scene) -> None:
    scene.hands.appear()
    await scene.run(5)
    scene.answers = False
    await scene.run(SILENT_SECONDS - 2)
    assert scene.hands.signals == []
    await scene.run(5)
    assert scene.hands.signals == [signal.SIGTERM]
    assert len(scene.hands.starts) == 1


async def test_a_worker_that_ignores_term_is_killed(scene: Scene) -> None:
    scene.hands.appear()
    scene.hands.obeys = False
    await scene.run(2)
    scene.hands.memory = LIMIT + 1
    await scene.run(TERM_SECONDS)
    scene.hands.memory = 0
    assert scene.hands.signals == [signal.SIGTERM]
    await scene.run(3)
    assert scene.hands.signals == [signal.SIGTERM, signal.SIGKILL]
    assert len(scene.hands.starts) == 1


async def test_a_worker_beyond_its_memory_is_ended_and_started_again(scene: Scene) -> None:
    scene.hands.appear()
    await scene.run(2)
    scene.hands.memory = LIMIT + 1
    await scene.run(1)
    scene.hands.memory = 0
    await scene.run(3)
    assert scene.hands.signals == [signal.SIGTERM]
    assert len(scene.hands.starts) == 1


async def test_a_worker_that_does_not_come_up_is_tried_by_the_same_table(scene: Scene) -> None:
    scene.hands.starts_work = False
    begin = scene.clock.monotonic()
    await scene.run(100)
    assert [at - begin for at in scene.hands.starts] == [5, 25, 55, 85]


async def test_a_worker_that_dies_between_two_looks_is_counted(scene: Scene) -> None:
    await scene.run(FIRST_SECONDS + 1)
    assert len(scene.hands.starts) == 1
    scene.hands.process = None
    await scene.until_started(2)
    scene.hands.process = None
    died = scene.clock.monotonic()
    await scene.until_started(3)
    assert scene.hands.starts[-1] - died <= 10


async def test_where_somebody_else_starts_workers_a_sick_one_is_only_ended() -> None:
    scene = Scene(start=False)
    scene.hands.appear()
    await scene.run(2)
    scene.hands.memory = LIMIT + 1
    await scene.run(100)
    assert scene.hands.signals == [signal.SIGTERM]
    assert scene.hands.starts == []


async def test_a_worker_started_by_somebody_else_meanwhile_is_taken_over(scene: Scene) -> None:
    scene.hands.appear()
    await scene.run(2)
    for _ in range(2):
        scene.hands.process = None
        await scene.run(3)
        scene.hands.appear()
    started = len(scene.hands.starts)
    await scene.run(60)
    assert len(scene.hands.starts) == started
