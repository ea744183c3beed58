"""The tokens of a shell text, outside and inside double quotes, and what they are put together to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

TOKEN: Final = re.compile(
    r"""
      (?P<join>\\\n)
    | (?P<space>[ \t\r]+)
    | (?P<newline>\n)
    | (?P<comment>(?<![^\s;&|()])\#[^\n]*)
    | (?P<redirect>[0-9]*(?:<<-|<<<|<<|>>|>\||<&|>&|&>>|&>|<>|<(?!\()|>(?!\()))
    | (?P<process>[<>]\()
    | (?P<end>;;&|;;|;&|&&|\|\||\|&|[;&|()])
    | (?P<single>'[^']*')
    | (?P<dollar_single>\$'(?:[^'\\]|\\.)*')
    | (?P<quote>\$?")
    | (?P<escape>\\.)
    | (?P<back>`(?:[^`\\]|\\.)*`)
    | (?P<open>\$\(\(?)
    | (?P<brace>\$\{(?:[^{}"'\\]|\\.|"(?:[^"\\]|\\.){0,4096}"|'[^']{0,4096}'|\$\{[^{}]{0,256}\}){0,4096}+\})
    | (?P<name>\$(?:[A-Za-z_][A-Za-z0-9_]*|[0-9@*\#?$!-]))
    | (?P<plain>[^\s'"\\`$;&|()<>\#]+|[\#$]|[^\S\n])
    """,
    re.VERBOSE | re.DOTALL,
)
QUOTED: Final = re.compile(
    r"""
      (?P<unquote>")
    | (?P<escape>\\.)
    | (?P<back>`(?:[^`\\]|\\.)*`)
    | (?P<open>\$\(\(?)
    | (?P<brace>\$\{(?:[^{}"\\]|\\.|"(?:[^"\\]|\\.){0,4096}"|\$\{[^{}]{0,256}\}){0,4096}+\})
    | (?P<name>\$(?:[A-Za-z_][A-Za-z0-9_]*|[0-9@*\#?$!-]))
    | (?P<text>[^"\\$`]+|\$)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Word:
    """One word after quote removal. Not `literal` = part of it is only known when it runs; there it has a `$`."""

    text: str
    literal: bool = True

    @property
    def bare(self) -> str:
        """What it is when all that is unknown turns out empty."""
        return self.text if self.literal else self.text.replace("$", "")


@dataclass(slots=True)
class SimpleCommand:
    """Words (without assignments) and redirection targets of one simple command; `writes` are those opened for writing.

    `before` are the commands earlier in its pipeline, `inside` those whose output is in its words, `given` the texts of its
    here-documents and here-strings.
    """

    words: list[Word] = field(default_factory=list)
    writes: list[Word] = field(default_factory=list)
    assignments: list[str] = field(default_factory=list)
    before: list[SimpleCommand] = field(default_factory=list)
    inside: list[SimpleCommand] = field(default_factory=list)
    given: list[Word] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.words or self.writes)
