"""A broker that lies: a proxy between nodes and the real engine that reads every message towards nodes, and may rewrite,
drop, repeat or forge any of them.

It holds what somebody who took over the broker holds: every byte both ways, but no signing key of the server. `rewrite` gets each
Frame towards a node and answers what the node is to see instead; `inject` says something nobody sent; `seen` keeps what passed.
Subscriptions are watched on their way up, so that a forged message carries the subscription id that the node expects.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from corral.protocol import subjects
from corral.testing.proxy import FaultProxy

_LINE_END: Final = b"\r\n"
_SEEN_MAX: Final = 100_000


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One MSG or HMSG. `headers` is the raw block, empty for MSG."""

    subject: str
    sid: str
    payload: bytes
    reply: str = ""
    headers: bytes = field(default=b"", repr=False)

    @property
    def down_kind(self) -> str:
        """The kind of a message on corral.down.<node>.<kind>; empty for anything else (replies, rpc)."""
        parts = self.subject.split(".")
        return parts[3] if self.subject.startswith(f"{subjects.DOWN}.") and len(parts) == 4 else ""

    def encode(self) -> bytes:
        to = f"{self.subject} {self.sid} " + (f"{self.reply} " if self.reply else "")
        if self.headers:
            sizes = f"{len(self.headers)} {len(self.headers) + len(self.payload)}"
            return f"HMSG {to}{sizes}".encode() + _LINE_END + self.headers + self.payload + _LINE_END
        return f"MSG {to}{len(self.payload)}".encode() + _LINE_END + self.payload + _LINE_END


Rewrite = Callable[[Frame], Iterable[Frame]]


def honest(frame: Frame) -> Iterable[Frame]:
    """Change nothing."""
    return (frame,)


class BrokerProxy(FaultProxy):
    """Speaks plain NATS (no TLS) between node and engine."""

    def __init__(self, host: str, port: int, *, rewrite: Rewrite = honest, seed: int = 0) -> None:
        super().__init__(host, port, seed=seed)
        self.rewrite = rewrite
        self.seen: list[Frame] = []
        self.sent_up: list[tuple[str, bytes]] = []
        """(subject, payload) of what nodes published."""
        self._buffers: dict[tuple[int, bool], bytes] = {}
        self._sids: dict[int, dict[str, str]] = {}

    def change(self, up: bool, data: bytes, conversation_id: int) -> bytes:
        key = (conversation_id, up)
        whole = self._buffers.get(key, b"") + data
        out, rest = self._upwards(whole, conversation_id) if up else self._downwards(whole)
        self._buffers[key] = rest
        return out

    def ended(self, conversation_id: int) -> None:
        self._sids.pop(conversation_id, None)
        for up in (True, False):
            self._buffers.pop((conversation_id, up), None)

    def inject(self, subject: str, payload: bytes, *, reply: str = "") -> int:
        """Say it to every node that listens there; to how many."""
        heard = 0
        for number, conversation in self._conversations.items():
            for pattern, sid in self._sids.get(number, {}).items():
                if _matches(pattern, subject):
                    conversation.down.put(Frame(subject=subject, sid=sid, payload=payload, reply=reply).encode())
                    heard += 1
        return heard

    def _downwards(self, data: bytes) -> tuple[bytes, bytes]:
        out: list[bytes] = []
        at = 0
        while (end := data.find(_LINE_END, at)) >= 0:
            words = data[at:end].split()
            verb = words[0].upper() if words else b""
            if verb not in (b"MSG", b"HMSG"):
                out.append(data[at : end + 2])
                at = end + 2
                continue
            total = int(words[-1])
            stop = end + 2 + total
            if len(data) < stop + 2:
                break
            split = end + 2 + (int(words[-2]) if verb == b"HMSG" else 0)
            numbers = 2 if verb == b"HMSG" else 1
            frame = Frame(
                subject=words[1].decode(),
                sid=words[2].decode(),
                reply=words[3].decode() if len(words) == 4 + numbers else "",
                headers=data[end + 2 : split],
                payload=data[split:stop],
            )
            if len(self.seen) < _SEEN_MAX:
                self.seen.append(frame)
            out += [each.encode() for each in self.rewrite(frame)]
            at = stop + 2
        return b"".join(out), data[at:]

    def _upwards(self, data: bytes, number: int) -> tuple[bytes, bytes]:
        """Pass everything, noting subscriptions and what was published."""
        at = 0
        while (end := data.find(_LINE_END, at)) >= 0:
            words = data[at:end].split()
            verb = words[0].upper() if words else b""
            if verb == b"SUB":
                self._sids.setdefault(number, {})[words[1].decode()] = words[-1].decode()
            if verb not in (b"PUB", b"HPUB"):
                at = end + 2
                continue
            stop = end + 2 + int(words[-1])
            if len(data) < stop + 2:
                break
            split = end + 2 + (int(words[-2]) if verb == b"HPUB" else 0)
            if len(self.sent_up) < _SEEN_MAX:
                self.sent_up.append((words[1].decode(), data[split:stop]))
            at = stop + 2
        return data[:at], data[at:]


def _matches(pattern: str, subject: str) -> bool:
    return fnmatch.fnmatchcase(subject, pattern.replace(">", "*"))
