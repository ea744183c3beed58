"""The engine's client protocol as bytes: an incremental parser of what it sends, and the lines we send. Pure: no socket, no clock.

Whatever is split wherever gives the same events; whatever is not the protocol raises `WireError`, after which the parser is dead.
Memory is bounded by one line (LINE_BYTES_MAX) and one message (PAYLOAD_BYTES_MAX), never by what a peer announces.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

LINE_BYTES_MAX: Final = 64 << 10
"""INFO is the longest line: it lists the addresses of a cluster."""
PAYLOAD_BYTES_MAX: Final = 4 << 20
"""The engine's own limit is 1 MiB; room for an operator's larger one."""


class WireError(ValueError):
    """The peer does not speak the engine's protocol, or beyond our bounds."""


class Info(NamedTuple):
    """The engine's greeting: {"nonce", "tls_required", "max_payload", …}."""

    fields: dict[str, Any]


class Msg(NamedTuple):
    """One delivered message; `header` holds the raw block of an HMSG, empty for a MSG."""

    subject: str
    sid: int
    reply: str
    header: bytes
    payload: bytes


class Ping(NamedTuple):
    """The engine asks whether we live."""


class Pong(NamedTuple):
    """The answer to our oldest unanswered PING: everything before it was handled."""


class Ok(NamedTuple):
    """Only in verbose mode, which we never ask for."""


class Err(NamedTuple):
    """`-ERR`: what the engine refuses; after most of them it closes the connection."""

    text: str


Event = Info | Msg | Ping | Pong | Ok | Err
_PING, _PONG, _OK = Ping(), Pong(), Ok()


class Parser:
    """`feed` bytes as they come, get the events they complete."""

    __slots__ = ("_dead", "_need", "_rest")

    def __init__(self) -> None:
        self._rest: bytes | bytearray = b""
        self._need = 0
        self._dead = False

    @property
    def pending_bytes(self) -> int:
        """Bytes held back because they do not complete an event yet."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[Event]:
        if self._dead:
            raise WireError("cannot read on: the connection already broke the protocol")
        rest = self._rest
        if rest:
            if len(rest) + len(data) < self._need:
                # A large payload arriving in pieces: collect, do not look at it again and again.
                if not isinstance(rest, bytearray):
                    rest = self._rest = bytearray(rest)
                rest += data
                return []
            data = bytes(rest) + data
            self._rest = b""
        try:
            return self._parse(data)
        except (WireError, ValueError, RecursionError) as error:
            self._dead = True
            self._rest = b""
            raise error if isinstance(error, WireError) else WireError(f"cannot read the engine: {error}") from None

    def _parse(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        at, size, find = 0, len(data), data.find
        while at < size:
            end = find(b"\r\n", at)
            if end < 0:
                if size - at > LINE_BYTES_MAX:
                    raise WireError(f"cannot read the engine: a line of more than {LINE_BYTES_MAX} bytes")
                self._need = 0
                break
            first = data[at]
            if first == 77 or first == 72:  # MSG, HMSG
                message, after, need = _message(data, at, end, headers=first == 72)
                if message is None:
                    self._need = need - at
                    break
                events.append(message)
                at = after
                continue
            if end - at > LINE_BYTES_MAX:
                raise WireError(f"cannot read the engine: a line of more than {LINE_BYTES_MAX} bytes")
            events.append(_control(data[at:end]))
            at = end + 2
        self._rest = data[at:]
        return events


def _message(data: bytes, at: int, end: int, *, headers: bool) -> tuple[Msg | None, int, int]:
    """(message or None when incomplete, where it ends, size of `data` that would complete it)."""
    words = data[at:end].split()
    verb = b"HMSG" if headers else b"MSG"
    count = len(words) - headers
    if words[0] != verb or count not in (4, 5) or end - at > LINE_BYTES_MAX:
        raise WireError(f"cannot read the engine: {bytes(data[at : min(end, at + 80)])!r} is no {verb.decode()}")
    total = _number(words[-1])
    header_size = _number(words[-2]) if headers else 0
    if total > PAYLOAD_BYTES_MAX or header_size > total:
        raise WireError(f"cannot read the engine: a message of {total} bytes with {header_size} of headers")
    begin = end + 2
    stop = begin + total
    if len(data) < stop + 2:
        return None, at, stop + 2
    if data[stop : stop + 2] != b"\r\n":
        raise WireError("cannot read the engine: a message longer than it announced")
    split = begin + header_size
    reply = words[3].decode("utf-8", "replace") if count == 5 else ""
    return (
        Msg(
            words[1].decode("utf-8", "replace"),
            _number(words[2]),
            reply,
            data[begin:split] if header_size else b"",
            data[split:stop],
        ),
        stop + 2,
        0,
    )


def _number(word: bytes) -> int:
    if len(word) > 10 or not word.isdigit():
        raise WireError(f"cannot read the engine: {word[:20]!r} is no number")
    return int(word)


def _control(line: bytes) -> Event:
    verb = line[:5].upper()
    if verb == b"PING":
        return _PING
    if verb == b"PONG":
        return _PONG
    if verb == b"+OK":
        return _OK
    if verb.startswith(b"-ERR"):
        return Err(line[4:].decode("utf-8", "replace").strip().strip("'"))
    if verb.startswith(b"INFO"):
        fields = json.loads(line[4:])
        if isinstance(fields, dict):
            return Info(fields)
    raise WireError(f"cannot read the engine: {line[:80]!r} is not of its protocol")


def parse_headers(block: bytes) -> dict[str, str]:
    """A header block as name → value; a status line gives `Status` and `Description`. Damaged lines are left out."""
    lines = block.decode("utf-8", "replace").split("\r\n")
    headers: dict[str, str] = {}
    status = lines[0].removeprefix("NATS/1.0").strip()
    if status:
        code, _, description = status.partition(" ")
        headers["Status"] = code
        if description:
            headers["Description"] = description.strip()
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon and name:
            headers[name.strip()] = value.strip()
    return headers


def connect(fields: Mapping[str, Any]) -> bytes:
    return b"CONNECT " + json.dumps(fields, separators=(",", ":")).encode() + b"\r\n"


def signature(raw: bytes) -> str:
    """How CONNECT carries the signature of the nonce."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sub(subject: str, sid: int) -> bytes:
    return f"SUB {check_subject(subject, wildcards=True)} {sid}\r\n".encode()


def unsub(sid: int) -> bytes:
    return f"UNSUB {sid}\r\n".encode()


def pub(subject: str, data: bytes, reply: str = "", headers: Mapping[str, str] | None = None) -> bytes:
    """PUB or HPUB. Raises ValueError for a subject or header that would end the line: nothing may be smuggled in."""
    check_subject(subject)
    to = f"{subject} {check_subject(reply)} " if reply else f"{subject} "
    if not headers:
        return b"PUB %b%d\r\n%b\r\n" % (to.encode(), len(data), data)
    block = header_block(headers)
    return b"HPUB %b%d %d\r\n%b%b\r\n" % (to.encode(), len(block), len(block) + len(data), block, data)


def header_block(headers: Mapping[str, str]) -> bytes:
    lines = ["NATS/1.0"]
    for name, value in headers.items():
        if not name or any(c in name for c in ":\r\n ") or "\r" in value or "\n" in value:
            raise ValueError(f"cannot send header {name!r}: it holds a line end, a blank or a colon")
        lines.append(f"{name}: {value}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def check_subject(subject: str, *, wildcards: bool = False) -> str:
    """Return `subject` if it is one word without empty tokens."""
    if (
        not subject
        or not subject.isprintable()
        or " " in subject
        or ".." in subject
        or subject[0] == "."
        or subject[-1] == "."
        or (not wildcards and ("*" in subject or ">" in subject))
    ):
        raise ValueError(f"cannot use {subject[:80]!r} as a subject")
    return subject


PING: Final = b"PING\r\n"
PONG: Final = b"PONG\r\n"
