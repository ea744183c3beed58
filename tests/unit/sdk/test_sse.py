"""The SSE parser: the same events wherever the network cuts the bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.domain.errors import TooLarge
from corral.sdk import sse
from corral.sdk.sse import ServerEvent, SseParser

STREAM = (
    b": keepalive\n\nevent: output\nid: 7\ndata: {}\n\nevent: task\ndata: a\ndata: b\n\n"
    b"id: 9\n\ndata\n\ndata:x\r\n\r\nevent: end\rdata: \xff\r\r."
)
EVENTS = [
    ServerEvent("output", "{}", "7"),
    ServerEvent("task", "a\nb", "7"),
    ServerEvent("message", "", "9"),
    ServerEvent("message", "x", "9"),
    ServerEvent("end", "�", "9"),
]


def parse(*chunks: bytes) -> list[ServerEvent]:
    parser = SseParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def test_a_whole_stream_gives_its_events() -> None:
    assert parse(STREAM) == EVENTS


def test_every_single_cut_gives_the_same_events() -> None:
    for at in range(len(STREAM) + 1):
        assert parse(STREAM[:at], STREAM[at:]) == EVENTS


def test_byte_by_byte_gives_the_same_events() -> None:
    assert parse(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == EVENTS


def test_an_id_without_data_still_counts_for_the_reconnect() -> None:
    parser = SseParser()
    assert parser.feed(b"id: 12\n\n") == []
    assert parser.last_id == "12"


def test_an_id_with_nul_is_ignored() -> None:
    parser = SseParser()
    parser.feed(b"id: 1\n\nid: 2\0\n\n")
    assert parser.last_id == "1"


def test_an_endless_event_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "EVENT_BYTES_MAX", 100)
    parser = SseParser()
    with pytest.raises(TooLarge):
        for _ in range(50):
            parser.feed(b"data: " + b"x" * 10)


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_bytes_are_parsed_without_an_error_and_independent_of_the_cuts(chunks: list[bytes]) -> None:
    # A trailing CR may or may not be half of a CRLF, so both sides get a definite end.
    assert parse(*chunks, b".") == parse(b"".join(chunks) + b".")


@given(
    st.lists(
        st.text(alphabet=st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=30), min_size=1, max_size=5
    )
)
def test_what_a_server_encodes_comes_back(lines: list[str]) -> None:
    wire = "event: output\nid: 3\n" + "".join(f"data: {line}\n" for line in lines) + "\n"
    assert parse(wire.encode()) == [ServerEvent("output", "\n".join(lines), "3")]
