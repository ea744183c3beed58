"""Sync: what makes lost messages harmless. The node says what it has, the server answers with what it lacks.

On every connect, on a poke (at most one a second: anybody may poke), and on anything that cannot be placed. A request carries a
fresh nonce and is repeated until an answer echoes it; only such an answer teaches the server's time. A node with much in hand
says it in pages, each answered before the next.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from corral.agent.link.port import LinkDown
from corral.agent.worker.attempt import Key
from corral.agent.worker.frame import Frame
from corral.agent.worker.inbox import Inbox, Parts
from corral.protocol.codec import BadMessage, encode, from_mapping
from corral.protocol.messages import SyncAnswer, SyncRequest
from corral.protocol.signing import BadSignature
from corral.protocol.subjects import up
from corral.runtime.backoff import Backoff

log = logging.getLogger("corral.worker.sync")

_PAGE: Final = 5000
_ANSWER_SECONDS: Final = 3.0
_SPACING_SECONDS: Final = 1.0
_AGAIN: Final = Backoff(delays_seconds=(0.5, 1, 2, 4, 8, 15))

OnKeys = Callable[[Mapping[str, bytes]], None]


class Sync:
    def __init__(self, frame: Frame, parts: Parts, on_keys: OnKeys | None) -> None:
        self._frame = frame
        self._parts = parts
        self._on_keys = on_keys
        self._subject = up(frame.node_id, "sync")
        self._inbox: Inbox | None = None
        self._round: asyncio.Task[None] | None = None
        self._wanted = False
        self._asked_at = float("-inf")
        self._nonce = ""
        self._sent_at = 0.0
        self._answer: asyncio.Future[SyncAnswer] | None = None
        self._connected = asyncio.Event()
        self.completed = 0

    def attach(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def connected(self) -> None:
        """The link's hook: after a (re)connect everything may have been missed."""
        self._frame.time.doubt()
        self._connected.set()
        self._connected = asyncio.Event()
        self._asked_at = float("-inf")
        self.ask()

    def ask(self) -> None:
        """Have a round soon; one that is on its way is followed by another."""
        self._wanted = True
        if self._round is None:
            self._round = self._frame.tasks.start(self._rounds(), name="sync")

    def received(self, data: bytes) -> None:
        """`down.<node>.sync`: a poke, or an answer."""
        if not data:
            self.ask()
            return
        try:
            answer = from_mapping(SyncAnswer, self._parts.trust.open(data, "sync"))
            if not self._nonce or not secrets.compare_digest(answer.nonce.encode(), self._nonce.encode()):
                raise BadMessage("cannot use the sync answer: it does not echo our latest nonce")
        except (BadSignature, BadMessage) as error:
            self._parts.trust.refuse("sync", error)
            return
        self._nonce = ""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    async def _rounds(self) -> None:
        try:
            while self._wanted:
                wait = self._asked_at + _SPACING_SECONDS - self._frame.clock.monotonic()
                if wait > 0:
                    await self._pause(wait)
                self._wanted = False
                self._asked_at = self._frame.clock.monotonic()
                more = True
                while more:
                    more = await self._one_round()
        finally:
            self._round = None

    async def _one_round(self) -> bool:
        """Say all pages; True when the server has more for us."""
        more = False
        for page, last in self._pages():
            answer = await self._exchange(page, last=last)
            self._apply(answer)
            more = answer.more
        self.completed += 1
        return more

    def _pages(self) -> Iterator[tuple[list[Key], bool]]:
        items = list(self._parts.runner.open)
        for start in range(0, max(1, len(items)), _PAGE):
            yield items[start : start + _PAGE], start + _PAGE >= len(items)

    async def _exchange(self, page: list[Key], *, last: bool) -> SyncAnswer:
        tries = 0
        while True:
            self._nonce = secrets.token_hex(16)
            request = SyncRequest(
                nonce=self._nonce,
                journal=self._parts.journal.id,
                boot_id=self._frame.boot_id,
                open=[[job, attempt] for job, attempt in page],
                state_revision=self._inbox.state_revision if self._inbox else 0,
                policy_revision=self._parts.guard.revision,
                more=not last,
            )
            self._answer = asyncio.get_running_loop().create_future()
            self._sent_at = self._frame.clock.monotonic()
            try:
                # its acknowledgement only says the broker has it; the answer comes on down.<node>.sync
                await self._frame.link.request(self._subject, encode(request))
                async with asyncio.timeout(_ANSWER_SECONDS):
                    return await self._answer
            except (LinkDown, TimeoutError) as error:
                if self._answer.done() and not self._answer.cancelled():
                    return self._answer.result()
                if isinstance(error, TimeoutError):
                    # The engine took the question and no answer came: nobody answers just now, or we cannot hear. While it
                    # takes new claims, nats-server 2.15 can lose what a client subscribes to across accounts just then.
                    self._frame.link.resubscribe()
            await self._pause(_AGAIN.delay(tries))
            tries += 1

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._connected.wait()

    def _apply(self, answer: SyncAnswer) -> None:
        inbox, parts = self._inbox, self._parts
        assert inbox is not None
        self._frame.time.learn(answer.issued)
        self._pin(answer.keys)
        # the server's time when we asked: what it signed for this answer is newer
        asked = answer.issued - (self._frame.clock.monotonic() - self._sent_at)
        with contextlib.suppress(sqlite3.Error):
            inbox.reset_known(asked)
            if parts.journal.is_open:
                parts.journal.set_meta("time", repr(self._frame.time.floor))
                parts.journal.prune(self._frame.time.now())
        for wire in answer.cancels:
            inbox.cancel(_bytes(wire))
        for item in answer.forget:
            if isinstance(item, list) and len(item) == 2 and isinstance(item[1], int):
                self._forget((str(item[0]), item[1]))
        if answer.policy:
            inbox.policy(answer.policy.encode())
        if answer.state:
            inbox.state(answer.state.encode())
        for wire in answer.tasks:
            inbox.task(_bytes(wire))

    def _forget(self, key: Key) -> None:
        runner = self._parts.runner
        if key in runner.attempts:
            # still running here: its outcome will be late news, but there is nothing to settle before that
            runner.open.discard(key)
            self._parts.outbox.forget(key)
        elif key in self._parts.outbox:
            runner.open.discard(key)
            self._parts.outbox.forget(key)
        elif key in runner.open:
            runner.settled(key)

    def _pin(self, announced: Mapping[str, Any]) -> None:
        new = self._parts.trust.pin(announced)
        if not new:
            return
        log.info("pinned signing keys %s", sorted(new), extra={"action": "keys", "keys": sorted(new)})
        with contextlib.suppress(sqlite3.Error):
            for key_id, public in new.items():
                self._parts.journal.set_meta(f"key.{key_id}", base64.b64encode(public).decode())
        if self._on_keys is not None:
            self._on_keys(new)


def _bytes(wire: Any) -> bytes:
    return wire.encode(errors="surrogatepass") if isinstance(wire, str) else b""
