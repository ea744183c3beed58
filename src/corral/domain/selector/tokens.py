"""The words of the selector language. A token knows its column (from 1), so that an error can point at it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    WORD = "word"
    TEXT = "quoted text"
    OPERATOR = "operator"
    OPEN = "'('"
    CLOSE = "')'"
    OPEN_BRACKET = "'['"
    CLOSE_BRACKET = "']'"
    COMMA = "','"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """`raw` is the source text; `value` is what it says (a quoted text without quotes and escapes)."""

    kind: Kind
    raw: str
    column: int
    value: str

    @property
    def end(self) -> int:
        """The offset (from 0) just after the token."""
        return self.column - 1 + len(self.raw)

    def shown(self) -> str:
        """How an error names the token."""
        return "the end" if self.kind is Kind.END else repr(self.raw if len(self.raw) <= 40 else self.raw[:37] + "...")


ORDERING: Final = frozenset({"<", "<=", ">", ">="})
EQUALITY: Final = frozenset({"==", "!="})
MATCHES: Final = "=~"
OPERATORS: Final = ORDERING | EQUALITY | {MATCHES}
