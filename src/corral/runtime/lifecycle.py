"""Everything that runs has an owner, a name and a ready signal.

A Component is an object with `name` and `async def run(self, ready)` that runs until cancelled and calls `ready()` once it can
do its work. `Lifecycle` starts components in order, waits until each is ready, and stops them in reverse. If one dies, the
process stops: a half-dead program is worse than a restarted one. Nothing else in Corral creates asyncio tasks; a component that
needs short-lived tasks owns them through a TaskSet.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

log = logging.getLogger("corral.lifecycle")


class Component(Protocol):
    @property
    def name(self) -> str: ...

    async def run(self, ready: Callable[[], None]) -> None: ...


class TaskSet:
    """Short-lived tasks of one owner: kept from garbage collection, failures logged with their name, all cancelled at `close`."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name=f"{self._owner}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("Cannot finish %s: %s", task.get_name(), error, exc_info=error, extra={"action": "task_died"})

    async def close(self, grace_seconds: float = 5.0) -> None:
        """Cancel what still runs and wait for it, at most `grace_seconds`."""
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=grace_seconds)


class Lifecycle:
    """Runs components in order until a stop signal, a `stop()` call or the death of one of them."""

    def __init__(
        self, components: Sequence[Component], *, start_seconds: float = 30.0, stop_seconds: float = 10.0
    ) -> None:
        self._components = components
        self._start_seconds = start_seconds
        self._stop_seconds = stop_seconds
        self._stop = asyncio.Event()
        self.started = asyncio.Event()

    def stop(self) -> None:
        """Ask for the end; `run` returns when every component has stopped. Safe to call twice."""
        self._stop.set()

    async def run(self, *, signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT)) -> None:
        """Start all, wait, stop all in reverse order. Raises what a component died of."""
        loop = asyncio.get_running_loop()
        for sig in signals:
            loop.add_signal_handler(sig, self.stop)
        stopper = loop.create_task(self._stop.wait(), name="lifecycle/stop")
        running: list[asyncio.Task[None]] = []
        try:
            for component in self._components:
                task = await self._start(component, running, stopper)
                if task is None:
                    break
            else:
                self.started.set()
                await asyncio.wait([stopper, *running], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopper.cancel()
            for sig in signals:
                loop.remove_signal_handler(sig)
            await self._stop_all(running)
        for task in running:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _start(
        self, component: Component, running: list[asyncio.Task[None]], stopper: asyncio.Task[Any]
    ) -> asyncio.Task[None] | None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        task = loop.create_task(component.run(ready.set), name=component.name)
        running.append(task)
        waiter = loop.create_task(ready.wait(), name=f"{component.name}/ready")
        try:
            done, _ = await asyncio.wait(
                [waiter, task, stopper], timeout=self._start_seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waiter.cancel()
        if stopper in done or task in done:
            return None
        if not done:
            raise TimeoutError(f"cannot start {component.name}: not ready after {self._start_seconds:g} s")
        return task

    async def _stop_all(self, running: list[asyncio.Task[None]]) -> None:
        for task in reversed(running):
            if task.done():
                continue
            task.cancel()
            _, pending = await asyncio.wait([task], timeout=self._stop_seconds)
            if pending:
                log.error(
                    "Cannot stop %s within %g s; leaving it",
                    task.get_name(),
                    self._stop_seconds,
                    extra={"action": "stop_timeout"},
                )
