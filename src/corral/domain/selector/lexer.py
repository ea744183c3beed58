"""Text → tokens, in one pass and linear time.

A word is a run of letters, digits and `_ . * ? -`: an id, a glob, a keyword, a number or a size; the parser knows which it
wants. Quoted text takes either quote; inside it a backslash escapes a quote or a backslash and is itself before anything else,
so that patterns (`"\\d+"`) need no doubling. Everything else is an error that names the likely intention.
"""

from __future__ import annotations

import re
from typing import Final

from corral.domain.errors import BadSelector
from corral.domain.selector.tokens import Kind, Token

LENGTH_MAX_BYTES: Final = 4096

_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<word>[A-Za-z0-9_.*?-]+)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<operator>==|!=|<=|>=|=~|<|>)
      | (?P<mark>[()\[\],])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"""\\(["'\\])""")
_MARKS: Final = {
    "(": Kind.OPEN,
    ")": Kind.CLOSE,
    "[": Kind.OPEN_BRACKET,
    "]": Kind.CLOSE_BRACKET,
    ",": Kind.COMMA,
}
_LIKELY: Final = {
    "=": "write '==' to compare",
    "&": "write 'and'",
    "|": "write 'or'",
    "!": "write 'not', or '!=' to compare",
    "~": "write '=~' to match a pattern",
    "{": 'write a list in brackets: ["a", "b"]',
    "/": 'quote the text: "..."',
    "$": 'quote the text: "..."',
    "“": 'use plain quotes: "..."',
    "”": 'use plain quotes: "..."',
    "‘": "use plain quotes: '...'",
    "’": "use plain quotes: '...'",
}


def bad(text: str, column: int, expected: str, got: str, hint: str | None = None) -> BadSelector:
    """The one shape of a selector error."""
    return BadSelector(
        f"cannot read the selector at column {column}: expected {expected}, got {got}",
        text=text,
        column=column,
        hint=hint,
    )


def tokens(text: str) -> list[Token]:
    """All tokens of `text`, the last of kind END. Raises BadSelector."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > LENGTH_MAX_BYTES:
        raise bad(
            text[:LENGTH_MAX_BYTES],
            LENGTH_MAX_BYTES + 1,
            f"at most {LENGTH_MAX_BYTES} bytes",
            f"{size}",
            "give the nodes a label or a group and select by that",
        )
    out: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _unreadable(text, at)
        raw, kind = match.group(), match.lastgroup
        if kind == "word":
            out.append(Token(Kind.WORD, raw, at + 1, raw))
        elif kind == "text":
            out.append(Token(Kind.TEXT, raw, at + 1, _ESCAPE.sub(r"\1", raw[1:-1])))
        elif kind == "operator":
            out.append(Token(Kind.OPERATOR, raw, at + 1, raw))
        elif kind == "mark":
            out.append(Token(_MARKS[raw], raw, at + 1, raw))
        at = match.end()
    out.append(Token(Kind.END, "", len(text) + 1, ""))
    return out


def _unreadable(text: str, at: int) -> BadSelector:
    char = text[at]
    if char in "\"'":
        return bad(text, at + 1, f"a closing {char} for this quote", "the end")
    return bad(text, at + 1, "a word, a quoted text or an operator", repr(char), _LIKELY.get(char))
