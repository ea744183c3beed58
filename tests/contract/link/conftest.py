"""The same tests over three links: the one in memory, the node's own and nats-py (as the reference) against a real engine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import nats
import nats.errors
import pytest

from corral.agent.link.client import NatsLink
from corral.agent.link.port import Handler, Link, LinkMessage, NoAnswer
from corral.bus.engine_process import find_program
from corral.runtime.clock import SystemClock
from corral.runtime.lifecycle import TaskSet
from corral.testing.link import MemoryEngine


class NatsPyLink:
    """nats-py behind our port: what the engine's own client does is what ours has to do."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Any = None
        self._hooks: list[Callable[[], Awaitable[None]]] = []
        self._wanted: list[tuple[str, Handler]] = []

    @property
    def connected(self) -> bool:
        return self._client is not None and self._client.is_connected

    def on_connect(self, hook: Callable[[], Awaitable[None]]) -> None:
        self._hooks.append(hook)

    def subscribe(self, subject: str, handler: Handler) -> None:
        self._wanted.append((subject, handler))

    def resubscribe(self) -> None: ...  # the reference has no such thing: it never loses one by itself

    async def run(self, ready: Callable[[], None]) -> None:
        self._client = await nats.connect(self._url, inbox_prefix="_INBOX_n.reference")
        try:
            for subject, handler in self._wanted:
                await self._client.subscribe(subject, cb=_callback(handler))
            await self._client.flush()
            ready()
            for hook in self._hooks:
                await hook()
            await asyncio.Event().wait()
        finally:
            await self._client.close()

    async def publish(
        self, subject: str, data: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        await self._client.publish(subject, data, reply, headers=dict(headers) if headers else None)

    async def request(
        self, subject: str, data: bytes, *, timeout_seconds: float = 5.0, headers: Mapping[str, str] | None = None
    ) -> LinkMessage:
        try:
            answer = await self._client.request(
                subject, data, timeout=timeout_seconds, headers=dict(headers) if headers else None
            )
        except (nats.errors.TimeoutError, nats.errors.NoRespondersError) as error:
            raise NoAnswer(str(error)) from None
        return _message(answer)

    async def request_many(self, subject: str, data: bytes, *, timeout_seconds: float = 10.0) -> list[LinkMessage]:
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox)
        await self._client.publish(subject, data, inbox)
        replies: list[LinkMessage] = []
        try:
            while not replies or "Status" not in replies[-1].headers:
                replies.append(_message(await subscription.next_msg(timeout_seconds)))
        except nats.errors.TimeoutError as error:
            raise NoAnswer(str(error)) from None
        finally:
            await subscription.unsubscribe()
        if replies[0].headers.get("Status") == "503":
            raise NoAnswer("no responders")
        return replies

    async def flush(self) -> None:
        await self._client.flush()


def _message(message: Any) -> LinkMessage:
    return LinkMessage(message.subject, message.data, message.reply, dict(message.headers or {}))


def _callback(handler: Handler) -> Callable[[Any], Awaitable[None]]:
    async def callback(message: Any) -> None:
        rest = handler(_message(message))
        if rest is not None:
            await rest

    return callback


class Rig:
    """Makes links that are connected when they are returned."""

    def __init__(self, make: Callable[[], Link]) -> None:
        self._make = make
        self._tasks = TaskSet("rig")

    async def link(self, *subscriptions: tuple[str, Handler]) -> Link:
        link = self._make()
        up = asyncio.Event()

        async def connected() -> None:
            up.set()

        for subject, handler in subscriptions:
            link.subscribe(subject, handler)
        link.on_connect(connected)
        task = self._tasks.start(link.run(lambda: None), name="link")
        waiter = self._tasks.start(up.wait(), name="up")
        await asyncio.wait((task, waiter), timeout=10, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        assert up.is_set(), "the link did not connect"
        return link

    async def close(self) -> None:
        await self._tasks.close()


class PlainEngine:
    """nats-server without accounts on a free port."""

    def __init__(self, *arguments: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        argv = [str(find_program(os.environ)), "-a", "127.0.0.1", "-p", str(self.port), *self._arguments]
        self.process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.02)
        raise TimeoutError("nats-server did not start")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def engine() -> Iterator[PlainEngine]:
    engine = PlainEngine()
    yield engine
    engine.kill()


def own_link(url: str, **more: Any) -> NatsLink:
    settings: dict[str, Any] = {
        "urls": [url],
        "jwt": lambda: "",
        "seed": "",
        "inbox": "_INBOX_n.test",
        "clock": SystemClock(0),
        "name": f"test-{os.getpid()}",
    }
    return NatsLink(**{**settings, **more})


@pytest.fixture(params=["memory", "own", "nats-py"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    make: Callable[[], Link]
    if request.param == "memory":
        make = MemoryEngine().link
    else:
        engine = request.getfixturevalue("engine")
        make = (lambda: own_link(engine.url)) if request.param == "own" else (lambda: NatsPyLink(engine.url))
    rig = Rig(make)
    yield rig
    await rig.close()


@pytest.fixture
def make_link() -> Callable[..., NatsLink]:
    return own_link


@pytest.fixture
def own_engine() -> Iterator[PlainEngine]:
    """An engine this test may kill."""
    engine = PlainEngine()
    yield engine
    engine.kill()
