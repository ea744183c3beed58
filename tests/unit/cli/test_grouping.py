"""Identical results are folded; what needs attention comes last."""

from __future__ import annotations

from typing import Any

import pytest

from corral.cli.output.grouping import body, group, headline, name_list, split, verdict
from corral.cli.output.progress import status_line
from corral.cli.output.table import render
from corral.sdk.models import Task


def task(node: str, state: str = "succeeded", **more: Any) -> Task:
    return Task.from_json({"node": node, "state": state, "exit_code": 0 if state == "succeeded" else None, **more})


def test_a_thousand_nodes_are_three_lines() -> None:
    tasks = [task(f"n{number:03}", stdout="ok\n") for number in range(981)]
    tasks += [task(f"x{number:02}", "failed", exit_code=2, stderr="no space\n") for number in range(17)]
    tasks += [task(f"z{number}", "queued", reason="offline") for number in range(2)]
    lines = [headline(item) for item in group(tasks)]
    assert lines[0] == "981 nodes: OK"
    assert lines[1] == "2 nodes: OFFLINE, still queued (z0, z1)"
    assert lines[2].startswith("17 nodes: FAILED exit 2 (x00, x01, ")
    assert lines[2].endswith("… and 9 more)")


def test_different_output_makes_different_groups_unless_it_was_shown_already() -> None:
    tasks = [task("a", stdout="1"), task("b", stdout="2")]
    assert len(group(tasks)) == 2
    assert len(group(tasks, by_output=False)) == 1


def test_failures_keep_their_output_apart_even_when_shown_live() -> None:
    tasks = [task("a", "failed", stderr="x"), task("b", "failed", stderr="y")]
    assert len(group(tasks, by_output=False)) == 2


@pytest.mark.parametrize(
    ("state", "more", "words"),
    [
        ("succeeded", {}, "OK"),
        ("failed", {"exit_code": 2}, "FAILED exit 2"),
        ("failed", {"signal": 9}, "FAILED by signal 9"),
        ("failed", {}, "FAILED"),
        ("timed_out", {}, "TIMED OUT"),
        ("queued", {"reason": "offline"}, "OFFLINE, still queued"),
        ("queued", {"reason": "slot"}, "QUEUED"),
        ("expired", {"reason": "offline_skipped"}, "OFFLINE, skipped"),
        ("interrupted", {}, "INTERRUPTED"),
    ],
)
def test_each_state_has_its_words(state: str, more: dict[str, Any], words: str) -> None:
    assert verdict(task("a", state, **more)) == words


def test_a_reason_is_told_when_the_words_do_not_say_it() -> None:
    item = group([task("a", "rejected", reason="policy", reason_text="the node's policy refused it")])[0]
    assert headline(item) == "1 node: REJECTED (a): the node's policy refused it"


def test_long_output_keeps_its_last_lines() -> None:
    item = group([task("a", stdout="".join(f"{number}\n" for number in range(100)))])[0]
    lines = body(item, colour=False, lines_shown=3)
    assert lines == ["    … 97 lines before", "    97", "    98", "    99"]


def test_output_in_groups_cannot_break_the_terminal() -> None:
    item = group([task("a", stdout="\x1b[2Jgone\x07\n")])[0]
    assert body(item, colour=True) == ["    gone\\x07"]


def test_only_newlines_split_lines() -> None:
    assert split("a\x0bb\u2028c\r\nd\n") == ["a\x0bb\u2028c", "d"]
    assert split("") == []


def test_names_are_cut_and_counted() -> None:
    assert name_list(["a", "b", "c"], 2) == "a, b … and 1 more"


def test_wide_characters_keep_a_table_aligned() -> None:
    text = render(["NAME", "X"], [["中文", 1], ["ab", None]])
    assert text.splitlines() == ["NAME  X", "中文  1", "ab    -"]


def test_a_table_on_a_terminal_cuts_its_last_column_only() -> None:
    text = render(["A", "B"], [["x", "y" * 100]], columns=40)
    assert text.splitlines()[1] == "x  " + "y" * 36 + "…"


def test_the_status_line_fits_the_terminal() -> None:
    counts = {"succeeded": 43, "failed": 2, "running": 30, "queued": 25}
    assert status_line(counts, 12.4, columns=200) == (
        "[#########...........] 45/100  43 succeeded  2 failed  30 running  25 queued  12 s"
    )
    for columns in (10, 30, 40, 60, 80):
        assert len(status_line(counts, 12.4, columns=columns)) < columns
