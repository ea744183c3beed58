"""Plain aligned tables: two spaces between columns, no borders, so that awk and eyes both read them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from corral.cli.output.terminal import cell


def width(text: str) -> int:
    """Terminal columns: wide characters count two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def render(headers: Sequence[str], rows: Sequence[Sequence[object]], *, columns: int | None = None) -> str:
    """The table as text. `columns`: the terminal's width; the last column is cut to fit, none other is."""
    texts = [[cell("-" if value in (None, "") else value) for value in row] for row in rows]
    lines = [list(headers), *texts]
    widths = [max(width(line[at]) for line in lines) for at in range(len(headers))]
    out = []
    for line in lines:
        parts = [text + " " * (widths[at] - width(text)) for at, text in enumerate(line[:-1])]
        last = line[-1]
        if columns is not None:
            room = columns - sum(widths[:-1]) - 2 * len(parts)
            if room >= 8 and width(last) > room:
                last = last[: room - 1] + "…"
        out.append("  ".join([*parts, last]).rstrip())
    return "\n".join(out)
