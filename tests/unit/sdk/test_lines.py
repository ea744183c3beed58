"""Lines out of byte chunks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from corral.sdk.lines import LINE_BYTES_MAX, LineSplitter


def split(*chunks: bytes) -> list[bytes]:
    splitter = LineSplitter()
    return [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.flush()


def test_the_last_line_needs_no_newline() -> None:
    assert split(b"a\nb") == [b"a", b"b"]
    assert split(b"a\n", b"\n") == [b"a", b""]


def test_a_giant_line_comes_in_parts_and_is_not_held_in_memory() -> None:
    splitter = LineSplitter()
    parts = splitter.feed(b"x" * (3 * LINE_BYTES_MAX + 5))
    assert [len(part) for part in parts] == [LINE_BYTES_MAX] * 3
    assert splitter.flush() == [b"x" * 5]


@given(st.lists(st.binary(max_size=30)))
def test_the_cuts_do_not_matter(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    expected = whole.split(b"\n")
    assert split(*chunks) == (expected[:-1] if expected[-1] == b"" else expected)
