from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from corral.runtime.lifecycle import Lifecycle, TaskSet


class Part:
    def __init__(self, name: str, log: list[str], *, dies: bool = False, deaf: bool = False) -> None:
        self.name, self._log, self._dies, self._deaf = name, log, dies, deaf

    async def run(self, ready: Callable[[], None]) -> None:
        self._log.append(f"start {self.name}")
        if not self._deaf:
            ready()
        try:
            if self._dies:
                raise RuntimeError("broken part")
            await asyncio.Event().wait()
        finally:
            self._log.append(f"stop {self.name}")


async def test_components_start_in_order_and_stop_in_reverse() -> None:
    log: list[str] = []
    life = Lifecycle([Part("a", log), Part("b", log)])
    run = asyncio.ensure_future(life.run(signals=()))
    await life.started.wait()
    life.stop()
    await run
    assert log == ["start a", "start b", "stop b", "stop a"]


async def test_the_death_of_one_component_stops_the_process_and_is_raised() -> None:
    log: list[str] = []
    with pytest.raises(RuntimeError, match="broken part"):
        await Lifecycle([Part("a", log), Part("b", log, dies=True)]).run(signals=())
    assert log[-1] == "stop a"


async def test_a_component_that_never_gets_ready_is_named() -> None:
    log: list[str] = []
    with pytest.raises(TimeoutError, match="slow"):
        await Lifecycle([Part("slow", log, deaf=True)], start_seconds=0.05).run(signals=())
    assert log == ["start slow", "stop slow"]


async def test_stop_during_start_ends_what_was_started() -> None:
    log: list[str] = []
    life = Lifecycle([Part("a", log), Part("b", log, deaf=True)])
    run = asyncio.ensure_future(life.run(signals=()))
    while log != ["start a", "start b"]:
        await asyncio.sleep(0)
    life.stop()
    await run
    assert sorted(log[2:]) == ["stop a", "stop b"]


async def test_a_task_set_cancels_what_still_runs() -> None:
    tasks = TaskSet("owner")
    task = tasks.start(asyncio.Event().wait(), name="forever")
    assert task.get_name() == "owner/forever" and len(tasks) == 1
    await tasks.close()
    assert task.cancelled() and len(tasks) == 0
