"""A proxy between nodes and engine that repeats, drops and reorders whole messages, both ways: what several paths, an impatient
sender or a restored backup may do to them.

`twist` gets (towards the node?, subject) of every message and answers when each copy of it is to go: `(0.0,)` as it came, `()`
never, `(0.0, 0.0, 0.0)` three times, `(0.2,)` later than what follows it. Everything but messages passes as it is.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from corral.testing.proxy import FaultProxy

Twist = Callable[[bool, str], Sequence[float]]
_LINE_END: Final = b"\r\n"
_MESSAGES: Final = frozenset({b"MSG", b"HMSG", b"PUB", b"HPUB"})


class TwistingProxy(FaultProxy):
    """`done` counts what became of messages: passed, repeated, dropped, delayed."""

    def __init__(self, host: str, port: int, twist: Twist) -> None:
        super().__init__(host, port)
        self._twist = twist
        self._buffers: dict[tuple[int, bool], bytes] = {}
        self.done: Counter[str] = Counter()

    def change(self, up: bool, data: bytes, conversation_id: int) -> bytes:
        key = (conversation_id, up)
        data = self._buffers.pop(key, b"") + data
        out: list[bytes] = []
        at = 0
        while (end := data.find(_LINE_END, at)) >= 0:
            words = data[at:end].split()
            stop = end + 2
            if words and words[0].upper() in _MESSAGES:
                stop += int(words[-1]) + 2
                if len(data) < stop:
                    break
                out += self._copies(up, words[1].decode(), data[at:stop], conversation_id)
            else:
                out.append(data[at:stop])
            at = stop
        self._buffers[key] = data[at:]
        return b"".join(out)

    def _copies(self, up: bool, subject: str, message: bytes, number: int) -> list[bytes]:
        delays = self._twist(not up, subject)
        self.done["dropped" if not delays else "passed" if len(delays) == 1 else "repeated"] += 1
        now = []
        for delay in delays:
            if delay <= 0:
                now.append(message)
            else:
                self.done["delayed"] += 1
                asyncio.get_running_loop().call_later(delay, self._later, up, message, number)
        return now

    def _later(self, up: bool, message: bytes, number: int) -> None:
        conversation = self._conversations.get(number)
        if conversation is not None:
            (conversation.up if up else conversation.down).put(message)

    def ended(self, conversation_id: int) -> None:
        for up in (True, False):
            self._buffers.pop((conversation_id, up), None)
