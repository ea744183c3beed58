"""A text of SQL cut into statements by sqlglot's lexer for the engine at hand.

A `;` in a string, a quoted name, a comment or a dollar-quoted body ends nothing, and neither does one inside the BEGIN … END of a routine.
What the lexer passes over (comments) is looked at too: MySQL executes some of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from corral.domain.errors import Invalid

DEPTH_MAX: Final = 100
DIALECTS: Final = {"postgres": "postgres", "mysql": "mysql", "mariadb": "mysql", "clickhouse": "clickhouse"}
_OPENING: Final = frozenset("([{")
_CLOSING: Final = frozenset(")]}")
_ROUTINES: Final = frozenset({"PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"})
_BLOCKS: Final = frozenset({"IF", "LOOP", "WHILE", "REPEAT", "FOR"})
"""`END IF` closes what was opened without BEGIN."""


@dataclass(frozen=True)
class Piece:
    """One statement as written, without the `;`. `words` are its words, "" for each string; `comments` what the lexer passed over."""

    text: str
    words: Sequence[str]
    comments: Sequence[str]
    cause: str = ""
    """Why the lexer could not read it; then the piece is all that was left."""


def split(engine: str, text: str) -> list[Piece]:
    """Raises Invalid for a text that nests too deep."""
    from sqlglot.dialects.dialect import Dialect
    from sqlglot.errors import TokenError

    dialect = Dialect.get_or_raise(DIALECTS[engine])
    try:
        tokens = dialect.tokenize(text)
    except TokenError as error:
        return [Piece(text.strip(), _plain_words(text), (), str(error).splitlines()[0])]
    _check_depth(tokens)
    pieces: list[Piece] = []
    begin, first = 0, 0
    for number in _ends(tokens):
        end = tokens[number].start if number < len(tokens) else len(text)
        piece = _piece(text, begin, end, tokens[first:number])
        if piece is not None:
            pieces.append(piece)
        if number < len(tokens):
            begin, first = tokens[number].end + 1, number + 1
    return pieces


def _ends(tokens: Sequence[Any]) -> list[int]:
    """The indices of the semicolons that end a statement, and the end of all."""
    ends: list[int] = []
    words: list[str] = []
    depth, routine = 0, False
    for number, token in enumerate(tokens):
        word = _word(token)
        if token.token_type.name == "SEMICOLON":
            if depth > 0:
                continue
            ends.append(number)
            routine, words = False, []
            continue
        words.append(word)
        if len(words) == 3 and words == ["BEGIN", "NOT", "ATOMIC"]:
            routine, depth = True, 1
        elif words[0] == "CREATE" and word in _ROUTINES and len(words) < 12:
            routine = True
        elif routine:
            depth += _step(tokens, number, word)
    return [*ends, len(tokens)]


def _step(tokens: Sequence[Any], number: int, word: str) -> int:
    previous = _word(tokens[number - 1])
    following = _word(tokens[number + 1]) if number + 1 < len(tokens) else ""
    if word == "BEGIN" or (word == "CASE" and previous != "END"):
        return 1
    return -1 if word == "END" and following not in _BLOCKS else 0


def _piece(text: str, begin: int, end: int, tokens: Sequence[Any]) -> Piece | None:
    """None for nothing but blanks and comments that mean nothing."""
    comments = []
    at = begin
    for token in tokens:
        comments.append(text[at : token.start])
        at = token.end + 1
    comments.append(text[at:end])
    found = tuple(comment.strip() for comment in comments if comment.strip())
    if not tokens and not any(comment.startswith(("/*!", "/*M!")) for comment in found):
        return None
    return Piece(text[begin:end].strip(), [_word(token) for token in tokens], found)


def _word(token: Any) -> str:
    """A name or keyword in upper case; "" for a string or a quoted name."""
    return "" if _quoted(token) else str(token.text).upper()


def _quoted(token: Any) -> bool:
    name = str(token.token_type.name)
    return name == "IDENTIFIER" or name.endswith("STRING")


def _plain_words(text: str) -> list[str]:
    return [word.upper() for word in text.split()[:3]]


def _check_depth(tokens: Sequence[Any]) -> None:
    depth = 0
    for token in tokens:
        if _quoted(token):
            continue
        if token.text in _OPENING:
            depth += 1
        elif token.text in _CLOSING:
            depth -= 1
        if depth > DEPTH_MAX:
            raise Invalid(f"cannot review this SQL: it nests deeper than {DEPTH_MAX} brackets", element="sql")
