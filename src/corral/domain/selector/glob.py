"""Globs over node ids: `*` is any run of characters, `?` is one. Each literal piece is looked for once, left to right.

A glob with at most two `*` becomes one regular expression, which is twice as fast over a fleet: with two unbounded runs and ids
of at most 63 characters there is nothing in it that could explode.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache


@lru_cache(maxsize=1024)
def compile_glob(glob: str) -> Callable[[str], object]:
    """A function whose answer is true when a whole id matches. Greedy leftmost search per piece is exact for globs."""
    pieces = re.split(r"\*+", glob)
    if len(pieces) <= 3:
        whole = re.compile(".*".join(_piece(piece).pattern for piece in pieces), re.DOTALL)
        return whole.fullmatch
    head, *rest = pieces
    start = _piece(head)
    *middle, tail = rest
    middles = [_piece(piece) for piece in middle]
    end, tail_size = _piece(tail), len(tail)

    def test(text: str) -> bool:
        if start.match(text) is None:
            return False
        at = len(head)
        for piece in middles:
            found = piece.search(text, at)
            if found is None:
                return False
            at = found.end()
        left = len(text) - tail_size
        return left >= at and end.match(text, left) is not None

    return test


def glob_matches(glob: str, text: str) -> bool:
    return bool(compile_glob(glob)(text))


def literal_prefix(glob: str) -> tuple[str, bool]:
    """The literal start of a glob, and whether the rest is just `*` (then the prefix alone decides)."""
    prefix = re.split(r"[*?]", glob, maxsplit=1)[0]
    return prefix, glob[len(prefix) :].strip("*") == "" and glob != prefix


def _piece(piece: str) -> re.Pattern[str]:
    """Only literals and single characters: nothing in it can backtrack."""
    return re.compile("".join("." if char == "?" else re.escape(char) for char in piece), re.DOTALL)
