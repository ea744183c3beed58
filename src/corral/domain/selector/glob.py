"""Globs over node ids: `*` is any run of characters, `?` is one. Linear: each literal piece is looked for once, left to right."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache


@lru_cache(maxsize=1024)
def compile_glob(glob: str) -> Callable[[str], bool]:
    """A function that says whether a whole id matches. Greedy leftmost search per piece is exact for globs."""
    head, *rest = re.split(r"\*+", glob)
    start = _piece(head)
    if not rest:
        return lambda text: len(text) == len(glob) and start.match(text) is not None
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
    return compile_glob(glob)(text)


def literal_prefix(glob: str) -> tuple[str, bool]:
    """The literal start of a glob, and whether the rest is just `*` (then the prefix alone decides)."""
    prefix = re.split(r"[*?]", glob, maxsplit=1)[0]
    return prefix, glob[len(prefix) :].strip("*") == "" and glob != prefix


def _piece(piece: str) -> re.Pattern[str]:
    """Only literals and single characters: nothing in it can backtrack."""
    return re.compile("".join("." if char == "?" else re.escape(char) for char in piece), re.DOTALL)
