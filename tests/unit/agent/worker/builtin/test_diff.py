"""The diff a node makes: what it says leads from the old text to the new one, and it stays small and quick whatever comes."""

import re

from hypothesis import given
from hypothesis import strategies as st

from corral.agent.worker.builtin.diff import BYTES_MAX, is_binary, unified

HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@\n")
LINES = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "d\n", "\n", "-x\n", "+y\n"]), max_size=30)


def patched(old, diff):
    """`old` (lines) after the hunks of `diff`."""
    out, at = [], 0
    lines = diff.splitlines(keepends=True)[2:]
    for line in lines:
        head = HUNK.match(line)
        if head:
            start = int(head.group(1)) - (head.group(2) != "0")
            out += old[at:start]
            at = start
        elif line[0] == " ":
            assert old[at] == line[1:]
            out.append(old[at])
            at += 1
        elif line[0] == "-":
            assert old[at] == line[1:]
            at += 1
        else:
            out.append(line[1:])
    return out + old[at:]


@given(old=LINES, new=LINES)
def test_a_diff_leads_from_the_old_text_to_the_new(old, new):
    diff = unified("".join(old).encode(), "".join(new).encode(), name="/f")
    assert (diff == "") == (old == new)
    if diff:
        assert patched(old, diff) == new


def test_a_new_and_a_removed_file_say_so():
    assert unified(None, b"a\n", name="/f") == "--- /dev/null\n+++ /f\n@@ -0,0 +1 @@\n+a\n"
    assert unified(b"a\n", None, name="/f") == "--- /f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"


def test_a_missing_line_end_is_shown():
    assert "\\ No newline at end of file\n" in unified(b"a\n", b"a", name="/f")


def test_binary_and_large_contents_are_only_measured():
    assert "binary: 1 bytes before, 2 after" in unified(b"a", b"\0b", name="/f")
    assert "too large to compare" in unified(b"a", b"x" * (BYTES_MAX + 1), name="/f")
    assert is_binary(b"\xff") and not is_binary("ä".encode())
    assert is_binary("ä".encode()[:1]) and not is_binary("ä".encode()[:1], cut=True)


def test_a_text_made_to_be_slow_is_not_compared_line_by_line():
    old = b"".join(b"%d\n" % (n % 7) for n in range(100_000))
    new = b"".join(b"%d\n" % (n % 11) for n in range(100_000))
    diff = unified(old, new, name="/f")
    assert len(diff) < 600_000 and diff.endswith("left out @@\n")
