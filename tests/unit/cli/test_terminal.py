"""A node's output on our terminal: colours pass, everything else is harmless."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.cli.output.terminal import Cleaner, cell, clean

CASES = [
    ("plain text\twith tab", "plain text\twith tab"),
    ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
    ("\x1b[1;38;5;196mbold", "\x1b[1;38;5;196mbold\x1b[0m"),
    ("\x1b[2J\x1b[Hcleared", "cleared"),
    ("\x1b]0;title\x07text", "text"),
    ("\x1b]52;c;ZXZpbA==\x1b\\text", "text"),
    ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
    ("\x1bPq#0\x1b\\sixel", "sixel"),
    ("\x1bcreset", "reset"),
    ("\x1b[?1049hscreen", "screen"),
    ("\x1b[6nreport", "report"),
    ("\x1b]never ends\nnext", "\\e]never ends\nnext"),
    ("bell\x07 back\x08 nul\x00", "bell\\x07 back\\b nul\\0"),
    ("progress\rover", "progress\\rover"),
    ("dos\r\nlines", "dos\nlines"),
    ("c1\x9b31m csi", "c1\\x9b31m csi"),
    ("rtl\u202eevil", "rtl\\u202eevil"),
    ("iso\u2066late", "iso\\u2066late"),
    ("line\u2028sep", "line\\u2028sep"),
    ("ok – ünïcödé 中文", "ok – ünïcödé 中文"),
    ("\x1b", "\\e"),
    ("\x1b[31", "\\e[31"),
    ('{"level":"error"}\n{"x":1}', '{"level":"error"}\n{"x":1}'),
]


@pytest.mark.parametrize(("given_text", "shown"), CASES)
def test_what_a_terminal_is_shown(given_text: str, shown: str) -> None:
    assert clean(given_text) == shown


@pytest.mark.parametrize(("given_text", "shown"), CASES)
def test_without_colour_no_escape_is_left(given_text: str, shown: str) -> None:
    assert clean(given_text, colour=False) == re.sub(r"\x1b\[[0-9;]*m", "", shown)


@pytest.mark.parametrize("text", [case[0] for case in CASES])
def test_a_cut_anywhere_shows_nothing_that_the_whole_would_not(text: str) -> None:
    for at in range(len(text) + 1):
        cleaner = Cleaner(colour=False)
        shown = cleaner.feed(text[:at]) + cleaner.feed(text[at:]) + cleaner.flush()
        assert shown == clean(text, colour=False)


@given(st.text(alphabet=st.characters(codec=None), max_size=80))
def test_nothing_dangerous_is_ever_shown(text: str) -> None:
    shown = re.sub(r"\x1b\[[0-9;:]*m", "", clean(text))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)


def test_a_string_that_never_ends_is_shown_not_swallowed() -> None:
    cleaner = Cleaner()
    shown = cleaner.feed("\x1b]0;" + "x" * 10_000) + cleaner.flush()
    assert shown.count("x") == 10_000


def test_a_cell_is_one_line() -> None:
    assert cell("a\nb\tc\x1b[31md") == "a\\nb cd"
