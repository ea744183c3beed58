"""Reports on their way to the server: kept until the receipt that echoes their token.

A broker's acknowledgement is not enough, and neither is a receipt for another token: whoever did not read the report cannot
forge its receipt. Every unreceipted report goes again at once after a connect, otherwise after 3 s doubling to 60 s; when the
stream is full (10077, 10047) it backs off and stays here. Only the latest report of an attempt counts: an end replaces
`delivered` and `running`, whose times it carries. Ends are in the journal before they come here; the others can be said anew.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from corral.agent.link.port import LinkDown
from corral.agent.worker.attempt import Key
from corral.agent.worker.frame import Frame
from corral.agent.worker.output import StreamRefused, check_accepted
from corral.protocol.subjects import up
from corral.runtime.backoff import RESEND_REPORT, STREAM_FULL

log = logging.getLogger("corral.worker.outbox")

_AT_ONCE: Final = 64
"""Reports on the way at once: a worker that comes back with thousands must not burst its bound on the stream."""


@dataclass(slots=True)
class _Pending:
    key: Key
    body: bytes
    token: str
    final: bool
    tries: int = 0
    refusals: int = 0
    due: float = 0.0
    sending: bool = False
    drop_when_stored: bool = False


def new_token() -> str:
    return secrets.token_hex(16)


class Outbox:
    def __init__(self, frame: Frame, on_settled: Callable[[Key], None]) -> None:
        self._frame = frame
        self._subject = up(frame.node_id, "report")
        self._on_settled = on_settled
        self._pending: dict[Key, _Pending] = {}
        self._tokens: dict[str, Key] = {}
        self._waiting: deque[_Pending] = deque()
        self._on_the_way = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._said_full_at = float("-inf")
        self.unknown_receipts = 0

    @property
    def depth(self) -> int:
        """Ends that wait for their receipt."""
        return sum(1 for pending in self._pending.values() if pending.final)

    def __contains__(self, key: Key) -> bool:
        return key in self._pending

    def put(self, key: Key, body: bytes, token: str, *, final: bool) -> None:
        """Send `body` now and until its receipt; it replaces what was to be said of `key` before."""
        old = self._pending.get(key)
        if old is not None:
            if old.final and not final:
                return
            self._tokens.pop(old.token, None)
        pending = self._pending[key] = _Pending(key, body, token, final)
        self._tokens[token] = key
        self._send(pending)

    def again(self, key: Key) -> bool:
        """The server asked about `key` again: send what is pending at once. False when nothing is."""
        pending = self._pending.get(key)
        if pending is None:
            return False
        self._send(pending)
        return True

    def everything(self) -> None:
        """After a connect: all of it, at once. What was on the way before is not to be counted on."""
        for pending in list(self._pending.values()):
            pending.tries = 0
            self._send(pending)

    def receipt(self, tokens: list[str]) -> None:
        """The server committed these reports."""
        for token in tokens:
            key = self._tokens.get(token) if isinstance(token, str) else None
            if key is None:
                # a duplicate of an earlier receipt, or a forged one: either way it changes nothing
                self.unknown_receipts += 1
                continue
            self._remove(self._pending[key])

    def forget(self, key: Key) -> None:
        """The server says it has settled `key`: an end is stored once more (it may be news) and then dropped."""
        pending = self._pending.get(key)
        if pending is None:
            return
        if pending.final:
            pending.drop_when_stored = True
            self._send(pending)
        else:
            self._discard(pending)

    def _discard(self, pending: _Pending) -> None:
        self._tokens.pop(pending.token, None)
        if self._pending.get(pending.key) is pending:
            del self._pending[pending.key]

    def _remove(self, pending: _Pending) -> None:
        self._discard(pending)
        if pending.final:
            self._on_settled(pending.key)

    def _send(self, pending: _Pending) -> None:
        if pending.sending:
            return
        if self._on_the_way >= _AT_ONCE:
            pending.sending = True
            self._waiting.append(pending)
            return
        pending.sending = True
        self._on_the_way += 1
        self._frame.tasks.start(self._deliver(pending), name="report")

    async def _deliver(self, pending: _Pending) -> None:
        try:
            answer = await self._frame.link.request(self._subject, pending.body)
            check_accepted(answer.data)
        except StreamRefused as error:
            delay = STREAM_FULL.delay(pending.refusals)
            pending.refusals += 1
            self._say_full(error)
        except LinkDown:
            delay = RESEND_REPORT.delay(pending.tries)
            pending.tries += 1
        else:
            delay = RESEND_REPORT.delay(pending.tries)
            pending.tries += 1
            pending.refusals = 0
            if pending.drop_when_stored and self._pending.get(pending.key) is pending:
                self._remove(pending)
        finally:
            pending.sending = False
            self._on_the_way -= 1
            self._next()
        pending.due = self._frame.clock.monotonic() + delay
        if self._pending.get(pending.key) is pending:
            self._arm(pending.due)

    def _next(self) -> None:
        while self._waiting and self._on_the_way < _AT_ONCE:
            pending = self._waiting.popleft()
            pending.sending = False
            if self._pending.get(pending.key) is pending:
                self._send(pending)

    def _arm(self, due: float) -> None:
        """One timer for all: at the earliest moment any report is due."""
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer_due = due
        wait = max(0.0, due - self._frame.clock.monotonic())
        self._timer = asyncio.get_running_loop().call_later(wait, self._resend_due)

    def _resend_due(self) -> None:
        self._timer = None
        now = self._frame.clock.monotonic()
        later: list[float] = []
        for pending in list(self._pending.values()):
            if pending.sending:
                continue
            if pending.due <= now + 0.05:
                self._send(pending)
            else:
                later.append(pending.due)
        if later:
            self._arm(min(later))

    def _say_full(self, error: StreamRefused) -> None:
        now = self._frame.clock.monotonic()
        if now - self._said_full_at > 60:
            self._said_full_at = now
            log.warning(
                "Cannot deliver reports now: %s; %d wait here", error, len(self._pending), extra={"action": "full"}
            )

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
