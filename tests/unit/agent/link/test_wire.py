"""The parser gives the same events however the bytes are split, never crashes, and never holds more than its bounds."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.agent.link import wire

TOKEN = st.text(alphabet="abcXYZ019_-$", min_size=1, max_size=8)
SUBJECT = st.lists(TOKEN, min_size=1, max_size=4).map(".".join)
HEADERS = st.dictionaries(TOKEN, st.text(alphabet="abc 123:/", max_size=12).map(str.strip), max_size=3)


@st.composite
def frames(draw: st.DrawFn) -> tuple[bytes, wire.Event]:
    kind = draw(st.sampled_from(["msg", "hmsg", "ping", "pong", "ok", "err", "info"]))
    if kind == "ping":
        return b"PING\r\n", wire.Ping()
    if kind == "pong":
        return b"PONG\r\n", wire.Pong()
    if kind == "ok":
        return b"+OK\r\n", wire.Ok()
    if kind == "err":
        return b"-ERR 'Stale Connection'\r\n", wire.Err("Stale Connection")
    if kind == "info":
        return b'INFO {"nonce":"abc","headers":true} \r\n', wire.Info({"nonce": "abc", "headers": True})
    subject, reply = draw(SUBJECT), draw(st.none() | SUBJECT)
    payload, sid = draw(st.binary(max_size=200)), draw(st.integers(1, 99999))
    words = f"{subject} {sid}" + (f" {reply}" if reply else "")
    if kind == "msg":
        message = wire.Msg(subject, sid, reply or "", b"", payload)
        return f"MSG {words} {len(payload)}\r\n".encode() + payload + b"\r\n", message
    block = wire.header_block(draw(HEADERS))
    head = f"HMSG {words} {len(block)} {len(block) + len(payload)}\r\n".encode()
    return head + block + payload + b"\r\n", wire.Msg(subject, sid, reply or "", block, payload)


@given(stream=st.lists(frames(), max_size=12), cuts=st.lists(st.integers(0, 4000), max_size=30))
@settings(max_examples=300)
def test_however_the_bytes_are_split_the_events_are_the_same(
    stream: list[tuple[bytes, wire.Event]], cuts: list[int]
) -> None:
    data = b"".join(raw for raw, _ in stream)
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    parser, events = wire.Parser(), []
    for begin, end in itertools.pairwise(edges):
        events += parser.feed(data[begin:end])
    assert events == [event for _, event in stream]
    assert parser.pending_bytes == 0


@given(pieces=st.lists(st.binary(max_size=300) | frames().map(lambda frame: frame[0]), max_size=20))
@settings(max_examples=400)
def test_whatever_bytes_come_it_gives_events_or_a_wire_error(pieces: list[bytes]) -> None:
    parser = wire.Parser()
    try:
        for piece in pieces:
            for event in parser.feed(piece):
                if isinstance(event, wire.Msg):
                    wire.parse_headers(event.header)
    except wire.WireError:
        with pytest.raises(wire.WireError):
            parser.feed(b"PING\r\n")


@given(data=st.binary(max_size=400))
def test_whatever_stands_in_a_header_block_it_gives_text(data: bytes) -> None:
    assert all(isinstance(value, str) for value in wire.parse_headers(data).values())


def test_a_payload_in_small_pieces_is_put_together() -> None:
    payload = bytes(range(256)) * 4096
    parser, events = wire.Parser(), []
    data = b"MSG a 1 %d\r\n%b\r\nPING\r\n" % (len(payload), payload)
    for at in range(0, len(data), 1000):
        events += parser.feed(data[at : at + 1000])
    assert events == [wire.Msg("a", 1, "", b"", payload), wire.Ping()]


def test_a_line_without_end_is_refused_before_it_grows() -> None:
    parser = wire.Parser()
    with pytest.raises(wire.WireError, match="line"):
        for _ in range(1000):
            parser.feed(b"x" * 1000)
            assert parser.pending_bytes <= wire.LINE_BYTES_MAX


@pytest.mark.parametrize(
    "line",
    [
        b"MSG a 1 99999999999\r\n",
        b"MSG a 1 5000000\r\n",
        b"MSG a 1 -5\r\n",
        b"MSG a x 2\r\nab\r\n",
        b"MSG a 5\r\n",
        b"HMSG a 1 20 10\r\n",
        b"MSG a 1 2\r\nabcd",
        b"MSGX a 1 2\r\nab\r\n",
        b"INFO [1]\r\n",
        b"INFO {\r\n",
        b"GET / HTTP/1.1\r\n",
        b"\r\n",
    ],
)
def test_what_is_not_the_protocol_is_refused(line: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.Parser().feed(line)


def test_a_status_line_becomes_status_and_description() -> None:
    block = b"NATS/1.0 503 No Responders\r\nA: b:c\r\nbroken\r\n\r\n"
    assert wire.parse_headers(block) == {"Status": "503", "Description": "No Responders", "A": "b:c"}


@given(headers=HEADERS)
def test_headers_come_back_as_they_went(headers: dict[str, str]) -> None:
    assert wire.parse_headers(wire.header_block(headers)) == headers


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB x 0", "a..b", ".a", "a.", "a.*", "a.>", "a\tb", "a\0b"])
def test_a_subject_that_could_smuggle_a_line_is_not_sent(subject: str) -> None:
    with pytest.raises(ValueError, match="subject"):
        wire.pub(subject, b"")


@pytest.mark.parametrize("headers", [{"A\r\nB": "c"}, {"A": "b\r\nC: d"}, {"": "x"}, {"A B": "c"}, {"A:": "c"}])
def test_a_header_that_could_smuggle_a_line_is_not_sent(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="header"):
        wire.pub("a", b"", headers=headers)
