"""`corral.connect_sync()`: the same fleet for programs without asyncio.

One thread runs the event loop; every coroutine of the client becomes a call that blocks, every async iterator a plain one.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any

from corral.sdk.files import Files
from corral.sdk.fleet import Fleet, connect
from corral.sdk.jobs import JobHandle, Jobs, Run
from corral.sdk.nodes import Nodes, Tokens
from corral.sdk.roles import Roles
from corral.sdk.rollouts import Rollouts
from corral.sdk.sql import Sql
from corral.sdk.system import ApiTokens, System

_WRAPPED = (Fleet, Files, Jobs, JobHandle, Run, Nodes, Tokens, ApiTokens, System, Rollouts, Roles, Sql)


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="corral-sdk", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run it there and wait for it; an interrupt here cancels it there."""
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        self.call(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class SyncProxy:
    """An object of the client with blocking methods; attributes that are values pass through."""

    def __init__(self, thread: LoopThread, target: Any) -> None:
        self._thread = thread
        self._target = target

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            return self._wrap(value)

        def call(*args: Any, **kwargs: Any) -> Any:
            return self._wrap(value(*args, **kwargs))

        return call

    def __iter__(self) -> Iterator[Any]:
        return self._iterate(self._target.__aiter__())

    def __repr__(self) -> str:
        return f"<sync {self._target!r}>"

    def _wrap(self, value: Any) -> Any:
        if inspect.iscoroutine(value):
            value = self._thread.call(value)
        if isinstance(value, _WRAPPED):
            return SyncProxy(self._thread, value)
        if inspect.isasyncgen(value):
            return self._iterate(value)
        return value

    def _iterate(self, source: AsyncIterator[Any]) -> Iterator[Any]:
        async def following() -> Any:
            return await anext(source)

        try:
            while True:
                try:
                    item = self._thread.call(following())
                except StopAsyncIteration:
                    return
                yield item
        finally:
            if inspect.isasyncgen(source):
                self._thread.call(_close(source))


async def _close(source: Any) -> None:
    await source.aclose()


class SyncFleet(SyncProxy):
    """`with corral.connect_sync() as fleet: for line in fleet.run("uptime", on="all"): …`"""

    def __enter__(self) -> SyncFleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._thread.call(self._target.close())
        self._thread.stop()


def connect_sync(url: str | None = None, token: str | None = None, *, ca: str | None = None) -> SyncFleet:
    """Like corral.connect(), blocking."""
    fleet = connect(url, token, ca=ca)
    return SyncFleet(LoopThread(), fleet)
