"""The link without an engine: any number of MemoryLinks on one MemoryEngine, in one loop, with the rules of the real one.

Delivery is asynchronous (next turn of the loop), in order per subscription, and nothing is kept: no subscriber, no delivery. `down`
breaks every link as an engine's death does, `up` lets them reconnect; what was in flight is gone.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from corral.agent.link.port import Handler, LinkDown, LinkMessage, NoAnswer
from corral.runtime.lifecycle import TaskSet

log = logging.getLogger("corral.testing.link")


def matches(pattern: str, subject: str) -> bool:
    """Whether `pattern` (`*` one token, `>` the rest) covers `subject`."""
    wanted, tokens = pattern.split("."), subject.split(".")
    for number, token in enumerate(wanted):
        if token == ">":
            return len(tokens) > number
        if number >= len(tokens) or token not in ("*", tokens[number]):
            return False
    return len(wanted) == len(tokens)


class MemoryEngine:
    """Routes messages between links. `published` keeps every message that was sent, for tests to look at."""

    def __init__(self) -> None:
        self.running = True
        self.published: list[LinkMessage] = []
        self._links: list[MemoryLink] = []

    def link(self, name: str = "memory") -> MemoryLink:
        link = MemoryLink(self, name)
        self._links.append(link)
        return link

    def down(self) -> None:
        """Break every connection and refuse new ones."""
        self.running = False
        for link in self._links:
            link.broken()

    def up(self) -> None:
        self.running = True
        for link in self._links:
            link.wake()

    def route(self, message: LinkMessage) -> bool:
        """Deliver to every matching subscription; False when there is none."""
        self.published.append(message)
        return sum(link.deliver(message) for link in self._links) > 0


class _Subscription:
    def __init__(self, subject: str, handler: Handler) -> None:
        self.subject = subject
        self.handler = handler
        self.waiting: deque[LinkMessage] = deque()
        self.busy = False


class MemoryLink:
    """Implements agent.link.port.Link. Made by `MemoryEngine.link`."""

    def __init__(self, engine: MemoryEngine, name: str) -> None:
        self.name = name
        self.reconnects = 0
        self._engine = engine
        self._subscriptions: list[_Subscription] = []
        self._hooks: list[Callable[[], Awaitable[None]]] = []
        self._serial = itertools.count(1)
        self._inbox = f"_INBOX_memory.{id(self):x}"
        self._answers: dict[str, asyncio.Queue[LinkMessage | None]] = {}
        self._tasks = TaskSet(name)
        self._change = asyncio.Event()
        self._connected = False

    @property
    def connected(self) -> bool:
        return self._connected

    def on_connect(self, hook: Callable[[], Awaitable[None]]) -> None:
        self._hooks.append(hook)

    def subscribe(self, subject: str, handler: Handler) -> None:
        self._subscriptions.append(_Subscription(subject, handler))

    def resubscribe(self) -> None:
        """Nothing gets lost here."""

    async def publish(
        self, subject: str, data: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        self._live()
        self._engine.route(LinkMessage(subject, data, reply, dict(headers or {})))

    async def request(
        self, subject: str, data: bytes, *, timeout_seconds: float = 5.0, headers: Mapping[str, str] | None = None
    ) -> LinkMessage:
        return (await self._ask(subject, data, timeout_seconds, headers, many=False))[0]

    async def request_many(self, subject: str, data: bytes, *, timeout_seconds: float = 10.0) -> list[LinkMessage]:
        return await self._ask(subject, data, timeout_seconds, None, many=True)

    async def flush(self) -> None:
        self._live()
        await asyncio.sleep(0)

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        try:
            while True:
                if self._engine.running:
                    self._connected = True
                    self._tasks.start(self._run_hooks(), name="on-connect")
                    while self._connected:
                        await self._changed()
                    self.reconnects += 1
                else:
                    await self._changed()
        finally:
            self.broken()
            await self._tasks.close()

    # the engine's side ---------------------------------------------------------------------------------------------

    def wake(self) -> None:
        self._change.set()

    def broken(self) -> None:
        self._connected = False
        for answers in self._answers.values():
            answers.put_nowait(None)
        self._change.set()

    def deliver(self, message: LinkMessage) -> bool:
        if not self._connected:
            return False
        if (answers := self._answers.get(message.subject)) is not None:
            answers.put_nowait(message)
            return True
        found = [entry for entry in self._subscriptions if matches(entry.subject, message.subject)]
        for entry in found:
            entry.waiting.append(message)
            if not entry.busy:
                entry.busy = True
                self._tasks.start(self._work(entry), name=entry.subject)
        return bool(found)

    # inside --------------------------------------------------------------------------------------------------------

    def _live(self) -> None:
        if not self._connected:
            raise LinkDown("cannot send: not connected to the engine", retryable=True)

    async def _changed(self) -> None:
        await self._change.wait()
        self._change.clear()

    async def _run_hooks(self) -> None:
        for hook in self._hooks:
            try:
                await hook()
            except LinkDown:
                return
            except Exception:
                log.exception("Cannot finish what follows a connect; going on")

    async def _work(self, entry: _Subscription) -> None:
        try:
            while entry.waiting:
                message = entry.waiting.popleft()
                try:
                    rest = entry.handler(message)
                    if rest is not None:
                        await rest
                except Exception:
                    log.exception("Cannot handle a message; dropping it", extra={"subject": message.subject})
        finally:
            entry.busy = False

    async def _ask(
        self, subject: str, data: bytes, timeout_seconds: float, headers: Mapping[str, str] | None, *, many: bool
    ) -> list[LinkMessage]:
        self._live()
        inbox = f"{self._inbox}.{next(self._serial)}"
        answers = self._answers[inbox] = asyncio.Queue()
        replies: list[LinkMessage] = []
        try:
            if not self._engine.route(LinkMessage(subject, data, inbox, dict(headers or {}))):
                raise NoAnswer(f"cannot ask {subject!r}: nobody answers there", retryable=True)
            async with asyncio.timeout(timeout_seconds):
                while True:
                    answer = await answers.get()
                    if answer is None:
                        raise LinkDown("cannot reach the engine: the connection ended", retryable=True)
                    replies.append(answer)
                    if not many or "Status" in answer.headers:
                        return replies
        except TimeoutError:
            raise NoAnswer(f"cannot ask {subject!r}: no answer in {timeout_seconds:g} s", retryable=True) from None
        finally:
            del self._answers[inbox]
