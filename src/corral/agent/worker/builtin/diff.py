"""The unified diff of two contents, bounded in time and size: made on the node, grouped by whoever shows it.

Headers carry no time and no node, so the same change on two nodes is the same text. Common beginnings and ends are cut off first;
a middle too large to compare line by line is shown as removed and added whole.
"""

from __future__ import annotations

import codecs
from typing import Final

BYTES_MAX: Final = 1 << 20
"""Of either side; beyond it only sizes are compared."""
_COMPARED_LINES_MAX: Final = 2000
_TEXT_MAX: Final = 512 << 10
_CONTEXT: Final = 3
_SNIFF_BYTES: Final = 8192


def is_binary(data: bytes, *, cut: bool = False) -> bool:
    """Whether these bytes are no text for people: a NUL early on, or not UTF-8. `cut`: the last character may be half."""
    if b"\0" in data[:_SNIFF_BYTES]:
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, not cut)
    except UnicodeDecodeError:
        return True
    return False


def unified(old: bytes | None, new: bytes | None, *, name: str) -> str:
    """The diff as text, empty when both are equal. None = there is (or will be) no such file."""
    if old == new:
        return ""
    head = f"--- {name if old is not None else '/dev/null'}\n+++ {name if new is not None else '/dev/null'}\n"
    before, after = old or b"", new or b""
    if len(before) > BYTES_MAX or len(after) > BYTES_MAX:
        return head + f"@@ too large to compare: {len(before)} bytes before, {len(after)} after @@\n"
    if is_binary(before) or is_binary(after):
        return head + f"@@ binary: {len(before)} bytes before, {len(after)} after @@\n"
    text = head + "".join(_hunks(_lines(before), _lines(after)))
    if len(text) > _TEXT_MAX:
        cut = text.rfind("\n", 0, _TEXT_MAX) + 1
        return text[:cut] + "@@ the rest of the diff is left out @@\n"
    return text


def _lines(data: bytes) -> list[str]:
    lines = data.decode().split("\n")
    last = lines.pop()
    whole = [f"{line}\n" for line in lines]
    return [*whole, f"{last}\n\\ No newline at end of file\n"] if last else whole


def _hunks(old: list[str], new: list[str]) -> list[str]:
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    # a few equal lines stay on either side: they are the context of the hunks
    start, end = max(0, start - _CONTEXT), max(0, end - _CONTEXT)
    middle_old, middle_new = old[start : len(old) - end], new[start : len(new) - end]
    if max(len(middle_old), len(middle_new)) > _COMPARED_LINES_MAX:
        return [
            f"@@ -{start + 1},{len(middle_old)} +{start + 1},{len(middle_new)} @@\n",
            *(f"-{line}" for line in middle_old),
            *(f"+{line}" for line in middle_new),
        ]
    from difflib import SequenceMatcher  # only who asks for a diff pays for it

    out: list[str] = []
    for group in SequenceMatcher(None, middle_old, middle_new).get_grouped_opcodes(_CONTEXT):
        first, last = group[0], group[-1]
        out.append(f"@@ -{_range(start + first[1], start + last[2])} +{_range(start + first[3], start + last[4])} @@\n")
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                out += [f" {line}" for line in middle_old[i1:i2]]
                continue
            out += [f"-{line}" for line in middle_old[i1:i2]]
            out += [f"+{line}" for line in middle_new[j1:j2]]
    return out


def _range(start: int, stop: int) -> str:
    length = stop - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"
