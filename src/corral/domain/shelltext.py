"""Which simple commands a shell text would run, as far as that can be read without running it.

A lexer for the POSIX grammar's surface: quotes, escapes, comments, operators, redirections, assignments, command
substitution, here-documents (their bodies are data, their substitutions are not). It never expands anything: a word that holds
an expansion is marked `literal=False`. One pass with one compiled pattern, nested texts at most DEPTH deep and each read once,
so the time is linear in the text; what is deeper or longer is `Unreadable`, and the policy decides what that means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

TEXT_BYTES_MAX: Final = 64 << 10
DEPTH: Final = 8

_TOKEN: Final = re.compile(
    r"""
      (?P<space>(?:[ \t\r]|\\\n)+)
    | (?P<newline>\n)
    | (?P<comment>(?<![^\s;&|()])\#[^\n]*)
    | (?P<redirect>[0-9]*(?:<<-|<<<|<<|>>|<>|>\||<&|>&|&>>|&>|<(?!\()|>(?!\()))
    | (?P<end>;;&|;;|;&|&&|\|\||\|&|[;&|()]|[<>]\()
    | (?P<single>'[^']*')
    | (?P<dollar_single>\$'(?:[^'\\]|\\.)*')
    | (?P<double>\$?"(?:[^"\\]|\\.)*")
    | (?P<escape>\\.)
    | (?P<back>`(?:[^`\\]|\\.)*`)
    | (?P<open>\$\(\(?)
    | (?P<brace>\$\{[^}]*\})
    | (?P<plain>[^\s'"\\`$;&|()<>\#]+|[\#$])
    """,
    re.VERBOSE | re.DOTALL,
)
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_KEYWORDS: Final = frozenset(
    {"if", "then", "else", "elif", "fi", "while", "until", "do", "done", "!", "{", "}", "time", "coproc", "function"}
)
_BACKSLASH: Final = re.compile(r"\\(.)", re.DOTALL)
_C_ESCAPE: Final = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_C_NAMES: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}


class Unreadable(ValueError):
    """A text this lexer cannot follow: unbalanced quotes, nested too deep, too long."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word after quote removal. Not `literal` = part of it is only known when it runs."""

    text: str
    literal: bool = True


@dataclass(slots=True)
class SimpleCommand:
    """Words (without assignments) and redirection targets of one simple command; `writes` are those opened for writing."""

    words: list[Word] = field(default_factory=list)
    writes: list[Word] = field(default_factory=list)
    assignments: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.words or self.writes)


class Budget:
    """How many characters may still be read for one task, nested texts included: what keeps the whole check linear."""

    def __init__(self, left: int = 4 * TEXT_BYTES_MAX) -> None:
        self._left = left

    def spend(self, characters: int) -> None:
        self._left -= characters + 1
        if self._left < 0:
            raise Unreadable("too much nested text")


def simple_commands(text: str, depth: int = 0, budget: Budget | None = None) -> list[SimpleCommand]:
    """Every simple command in `text`, in order, those inside substitutions included. Raises Unreadable."""
    budget = budget or Budget()
    budget.spend(len(text))
    if len(text) > TEXT_BYTES_MAX:
        raise Unreadable(f"longer than {TEXT_BYTES_MAX} characters")
    if depth > DEPTH:
        raise Unreadable(f"nested deeper than {DEPTH}")
    return _Reader(text, depth, budget).read()


class _Reader:
    def __init__(self, text: str, depth: int, budget: Budget) -> None:
        self._text = text
        self._depth = depth
        self._budget = budget
        self._out: list[SimpleCommand] = []
        self._nested: list[str] = []
        self._command = SimpleCommand()
        self._parts: list[str] | None = None
        self._literal = True
        self._quoted = False
        self._redirect = ""
        self._heredocs: list[tuple[str, bool, bool]] = []

    def read(self) -> list[SimpleCommand]:
        position, text = 0, self._text
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise Unreadable(f"cannot read {text[position : position + 20]!r}")
            position = match.end()
            kind = match.lastgroup or ""
            if kind == "newline":
                self._end_command()
                position = self._skip_heredocs(position)
            else:
                self._token(kind, match.group())
        self._end_command()
        for inner in self._nested:
            self._out += simple_commands(inner, self._depth + 1, self._budget)
        return self._out

    def _token(self, kind: str, token: str) -> None:
        if kind in ("space", "comment"):
            self._end_word()
        elif kind == "end":
            self._end_command()
        elif kind == "redirect":
            self._end_word()
            self._redirect = token.lstrip("0123456789")
        elif kind == "open":
            # the words inside are read in place, as commands of their own; the closing ')' ends them
            self._add("", literal=False)
            self._end_command()
        elif kind == "back":
            self._nested.append(_BACKSLASH.sub(r"\1", token[1:-1]))
            self._add("", literal=False)
        elif kind in ("single", "dollar_single", "double", "escape"):
            self._quoted_part(kind, token)
        elif kind == "brace" or token == "$":
            self._add("$", literal=False)
            if kind == "brace" and ("$(" in token or "`" in token):
                self._substitutions(token[2:-1])
        else:
            self._add(token)

    def _quoted_part(self, kind: str, token: str) -> None:
        if kind == "single":
            self._add(token[1:-1])
        elif kind == "dollar_single":
            self._add(_C_ESCAPE.sub(_c_escape, token[2:-1]))
        elif kind == "double":
            self._double(token[token.index('"') + 1 : -1])
        else:
            self._add(token[1:])
        self._quoted = True

    def _double(self, inside: str) -> None:
        literal = "$" not in inside.replace("\\$", "") and "`" not in inside.replace("\\`", "")
        self._add(re.sub(r'\\([$`"\\\n])', r"\1", inside), literal=literal)
        if not literal:
            self._substitutions(inside)

    def _substitutions(self, inside: str) -> None:
        """Find `$(…)` and backquotes in quoted or here-document text; what follows an open `$(` is read as commands."""
        start = inside.find("$(")
        if start >= 0:
            self._nested.append(inside[start + 2 :].replace('\\"', '"'))
        parts = inside.split("`")
        self._nested.extend(parts[1::2])

    def _add(self, text: str, *, literal: bool = True) -> None:
        if self._parts is None:
            self._parts, self._literal, self._quoted = [], True, False
        self._parts.append(text)
        self._literal = self._literal and literal

    def _end_word(self) -> None:
        if self._parts is None:
            return
        word = Word("".join(self._parts), self._literal)
        self._parts = None
        if self._redirect:
            redirect, self._redirect = self._redirect, ""
            if redirect in ("<<", "<<-"):
                self._heredocs.append((word.text, redirect == "<<-", self._quoted))
            elif ">" in redirect and not (redirect == ">&" and (word.text.isdigit() or word.text == "-")):
                self._command.writes.append(word)
        elif not self._command.words and _ASSIGNMENT.match(word.text):
            self._command.assignments.append(word.text)
        elif not self._command.words and word.text in _KEYWORDS:
            pass
        else:
            self._command.words.append(word)

    def _end_command(self) -> None:
        self._end_word()
        self._redirect = ""
        if self._command:
            self._out.append(self._command)
        self._command = SimpleCommand()

    def _skip_heredocs(self, position: int) -> int:
        for delimiter, tabs, quoted in self._heredocs:
            lines: list[str] = []
            while position < len(self._text):
                end = self._text.find("\n", position)
                end = len(self._text) if end < 0 else end
                line = self._text[position:end]
                position = end + 1
                if (line.lstrip("\t") if tabs else line) == delimiter:
                    break
                lines.append(line)
            body = "\n".join(lines)
            # a quoted delimiter makes the body plain data
            if not quoted and ("$(" in body or "`" in body):
                self._substitutions(body)
        self._heredocs.clear()
        return position


def _c_escape(match: re.Match[str]) -> str:
    what = match.group(1)
    if what[0] == "x" and len(what) > 1:
        return chr(int(what[1:], 16))
    if what[0] in "01234567":
        return chr(int(what, 8) & 0xFF)
    return _C_NAMES.get(what, what)
