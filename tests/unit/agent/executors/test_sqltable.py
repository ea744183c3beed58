"""How rows are printed."""

from __future__ import annotations

import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from corral.agent.executors.sqltable import CELL_CHARS, as_csv, as_json, cell, table

VALUES = st.one_of(st.none(), st.integers(), st.booleans(), st.text(), st.binary(max_size=20))
ROWS = st.lists(st.tuples(VALUES, VALUES), max_size=8)


def test_numbers_stand_to_the_right_and_text_to_the_left() -> None:
    assert table(["id", "name"], [[1, "a"], [22, None]]) == "id | name\n---+-----\n 1 | a\n22 | NULL"
    assert table(["id"], []) == "id\n--"


@given(ROWS)
def test_a_table_has_a_line_per_row_and_nothing_that_moves_a_cursor(rows: list[tuple[object, object]]) -> None:
    text = table(["a", "b"], rows)
    assert len(text.split("\n")) == len(rows) + 2
    assert all(character.isprintable() or character == "\n" for character in text)


def test_a_long_cell_is_cut_and_says_so() -> None:
    assert cell("x" * 500) == "x" * (CELL_CHARS - 1) + "…"
    assert cell("a\nb\tc\x1b[2J\u202e") == "a\\nb\\tc\\x1b[2J\\x202e"
    assert cell({"a": [1]}) == '{"a": [1]}'
    assert cell(b"\x00\xff") == "\\x00ff"


@given(ROWS)
def test_json_is_one_line_and_gives_back_what_json_can_hold(rows: list[tuple[object, object]]) -> None:
    text = as_json(["a", "a"], rows)
    assert "\n" not in text
    found = json.loads(text)
    plain = [tuple("\\x" + v.hex() if isinstance(v, bytes) else v for v in row) for row in rows]
    assert [(row["a"], row["a_2"]) for row in found] == plain


@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_characters="\r\0", codec="utf-8"), min_size=1), st.integers()),
        min_size=1,
    )
)
def test_csv_gives_back_every_text(rows: list[tuple[str, int]]) -> None:
    found = list(csv.reader(io.StringIO(as_csv(["a", "b"], rows) + "\n", newline="")))
    assert found == [["a", "b"], *([text, str(number)] for text, number in rows)]
