"""Which simple commands a shell text would run, as far as that can be read without running it.

A lexer for the surface of the POSIX grammar and the bash words people use: quotes, escapes, comments, operators, redirections,
here-documents, substitutions, braces. It runs nothing. What a text itself says is put in its place (`x=rm; $x`, `$(echo rm)`,
`${x:-rm}`, `$IFS`); a word that holds anything else is marked `literal=False` and has a `$` there. One pass with one compiled
pattern, nested texts at most DEPTH deep, and a Budget over all that is put in, so the time is linear in the text; what is deeper
or longer is `Unreadable`, and the policy decides what that means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from corral.domain.shelltokens import QUOTED, TOKEN, SimpleCommand, Word
from corral.domain.shellwords import (
    Budget,
    TooDeep,
    Unreadable,
    Variables,
    braces,
    c_unescaped,
    echoed,
    parameter,
)

TEXT_BYTES_MAX: Final = 64 << 10
DEPTH: Final = 8
PARENTHESES_MAX: Final = 256
PIPELINE_MAX: Final = 32
MAKERS_MAX: Final = 256
FORK_BOMB: Final = "fork-bomb"
"""What a function that pipes into itself is called."""

_ASSIGNMENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?)=(.*)", re.DOTALL)
_DECLARES: Final = frozenset({"export", "readonly", "local", "declare", "typeset"})
_KEYWORDS: Final = frozenset(
    {"if", "then", "else", "elif", "fi", "while", "until", "do", "done", "!", "{", "}", "time", "coproc", "function"}
)
_BEFORE: Final = _KEYWORDS | {"-p"}
"""`time -p …`: no command begins with an option."""
_CASE: Final = Word("case")
_BACKSLASH: Final = re.compile(r"\\(.)", re.DOTALL)
_IN_DOUBLE: Final = re.compile(r'\\([$`"\\\n])')


@dataclass(slots=True)
class _Here:
    """Where the reader is: the command and word at hand, and in which kind of parenthesis. Put aside while an inner one is read."""

    kind: str = "text"
    begun: int = 0
    """How many commands there were before it."""
    command: SimpleCommand = field(default_factory=SimpleCommand)
    pipeline: list[SimpleCommand] = field(default_factory=list)
    piped: bool = False
    """The last thing was a `|`."""
    parts: list[str] | None = None
    literal: bool = True
    quoted: bool = False
    double: bool = False
    """Inside double quotes."""
    redirect: str = ""
    function: bool = False
    """The next word is the name of a function."""
    case: bool = False
    """The command at hand begins with the keyword."""
    cases: int = 0
    pattern: bool = False
    """Inside `case`, where a `)` ends a pattern and nothing else."""


def simple_commands(
    text: str, depth: int = 0, budget: Budget | None = None, variables: Variables | Mapping[str, str] | None = None
) -> list[SimpleCommand]:
    """Every simple command in `text`, in order, those inside substitutions included. Raises Unreadable."""
    budget = budget or Budget(4 * TEXT_BYTES_MAX)
    budget.spend(len(text))
    if len(text) > TEXT_BYTES_MAX:
        raise Unreadable(f"longer than {TEXT_BYTES_MAX} characters")
    if depth > DEPTH:
        raise TooDeep(f"nested deeper than {DEPTH}")
    known = variables if isinstance(variables, Variables) else Variables(variables or {})
    return _Reader(text, depth, budget, known).read()


class _Reader:
    def __init__(self, text: str, depth: int, budget: Budget, variables: Variables) -> None:
        self._text = text
        self._depth = depth
        self._budget = budget
        self._variables = variables
        self._out: list[SimpleCommand] = []
        self._here = _Here()
        self._around: list[_Here] = []
        self._heredocs: list[tuple[SimpleCommand, str, bool, bool]] = []
        self._functions: set[str] = set()
        self._makers = variables.makers
        self._last = ""

    def read(self) -> list[SimpleCommand]:
        position, text = 0, self._text
        while position < len(text):
            match = (QUOTED if self._here.double else TOKEN).match(text, position)
            if match is None:
                raise Unreadable(f"cannot read {text[position : position + 20]!r}")
            position = match.end()
            kind = match.lastgroup or ""
            if kind == "newline":
                self._end_command("\n")
                position = self._skip_heredocs(position)
            else:
                self._token(kind, match.group())
            self._last = match.group()
        if self._here.double:
            raise Unreadable("a quote that never ends")
        self._end_command(";")
        while self._around:
            self._close()
            if self._here.double:
                raise Unreadable("a quote that never ends")
            self._end_command(";")
        return self._out

    # --- tokens -------------------------------------------------------------------------------------------------------

    def _token(self, kind: str, token: str) -> None:
        if kind == "join":
            # a line that goes on in the next, in the middle of a word too
            return
        if kind in ("space", "comment"):
            self._end_word()
        elif kind == "end":
            self._operator(token)
        elif kind == "redirect":
            self._end_word()
            # in arithmetic << is a shift: taking the next lines for a body would hide them
            shift = self._here.kind == "arithmetic" and "<<" in token
            self._here.redirect = "" if shift else token.lstrip("0123456789")
        elif kind in ("open", "process"):
            self._add("", literal=False)
            self._open("word")
            if token == "$((":  # a token of a language
                self._open("arithmetic")
        elif kind == "back":
            inner = _BACKSLASH.sub(r"\1", token[1:-1])
            self._substitute(inner)
        elif kind in ("brace", "name"):
            self._expand(token)
        elif kind == "plain":
            self._plain(token)
        else:
            self._quote(kind, token)

    def _quote(self, kind: str, token: str) -> None:
        if kind == "single":
            self._add(token[1:-1])
        elif kind == "dollar_single":
            self._add(c_unescaped(token[2:-1]))
        elif kind == "escape":
            self._add(_IN_DOUBLE.sub(r"\1", token).replace("\\\n", "") if self._here.double else token[1:])
        elif kind == "text":
            self._add(token)
        else:
            self._add("")
            self._here.double = kind == "quote"
        self._here.quoted = True

    def _operator(self, token: str) -> None:
        here = self._here
        if here.pattern and token in ("|", ")"):
            # what stands here is a pattern of `case`, which nobody runs
            self._end_word()
            here.command = SimpleCommand()
            here.pattern = token == "|"
        elif token == "(":  # a token of a language
            if here.pattern:
                self._end_word()
                return
            self._end_word()
            if here.command.words:
                self._functions.add(here.command.words[-1].text)
            self._end_command("(")
            self._open("arithmetic" if self._last == "(" else "commands")
        elif token == ")":  # a token of a language
            self._end_command(";")
            if here.pattern:
                # `case x in a)` in one line
                here.pattern = False
            else:
                self._close()
        else:
            self._end_command(token)
            here.pattern = here.pattern or (bool(here.cases) and token in (";;", ";&", ";;&"))

    def _open(self, kind: str) -> None:
        if len(self._around) > PARENTHESES_MAX:
            raise TooDeep("too many parentheses")
        before = self._here.pipeline if kind == "commands" else []
        self._around.append(self._here)
        self._here = _Here(kind=kind, begun=len(self._out), pipeline=list(before))

    def _close(self) -> None:
        """A `)`: the commands it ends become part of what is around them. One too many only ends a command."""
        if not self._around:
            return
        inner = self._out[self._here.begun :]
        kind, self._here = self._here.kind, self._around.pop()
        if kind == "word":
            self._put(inner)
        else:
            self._here.pipeline = [*self._here.pipeline, *inner][-PIPELINE_MAX:]
            self._here.piped = False

    def _put(self, inner: list[SimpleCommand]) -> None:
        """Put what these commands print where they stand, as far as it is known."""
        self._here.command.inside.extend(inner)
        text = echoed([w.text for w in inner[0].words]) if len(inner) == 1 and _plain_words(inner[0]) else None
        if text is None:
            self._add("$", literal=False)
        else:
            self._budget.spend(len(text))
            self._insert(text)

    def _substitute(self, text: str) -> None:
        inner = simple_commands(text, self._depth + 1, self._budget, self._variables)
        self._out += inner
        self._put(inner)

    def _expand(self, token: str) -> None:
        """`$name` or `${…}`: its value where the text gives it, a `$` where not."""
        found = parameter(token, self._variables)
        if "$(" in token[1:] or "`" in token:
            start = token.find("$(", 1)
            inside = token[start + 2 : -1] if start > 0 else token.partition("`")[2].rpartition("`")[0]
            inner = simple_commands(inside, self._depth + 1, self._budget, self._variables)
            self._out += inner
            self._here.command.inside.extend(inner)
        if found.separator and not self._here.double:
            self._end_word()
        elif found.values is None:
            self._here.command.inside.extend(self._makers.get(token.strip("${}"), ()))
            self._add("$" if found.shown else "", literal=False)
        else:
            self._budget.spend(sum(map(len, found.values)))
            for index, value in enumerate(found.values):
                if index:
                    self._end_word()
                self._insert(value)

    def _insert(self, text: str) -> None:
        """What an expansion gives; outside quotes its blanks, and what the text put into IFS, separate words."""
        if not self._here.double and (separators := self._variables.get("IFS")):
            text = text.translate({ord(c): " " for c in separators[0]})
        if self._here.double or not any(c.isspace() for c in text):
            self._add(text, literal=False)
            return
        if text[0].isspace():
            self._end_word()
        for index, piece in enumerate(text.split()):
            if index:
                self._end_word()
            self._add(piece, literal=False)
        if text[-1].isspace():
            self._end_word()

    def _plain(self, token: str) -> None:
        words = braces(token) if self._here.parts is None and "{" in token else [token]
        if len(words) > 1:
            self._budget.spend(sum(map(len, words)))
        for index, word in enumerate(words):
            if index:
                self._end_word()
            self._add(word, literal=word != "$")

    # --- words and commands -------------------------------------------------------------------------------------------

    def _add(self, text: str, *, literal: bool = True) -> None:
        here = self._here
        if here.parts is None:
            here.parts, here.literal, here.quoted = [], True, False
        here.parts.append(text)
        here.literal = here.literal and literal

    def _end_word(self) -> None:
        here = self._here
        if here.parts is None:
            return
        word = Word("".join(here.parts), here.literal)
        here.parts = None
        command = here.command
        if here.redirect:
            self._redirected(word)
        elif not command.words and (found := _ASSIGNMENT.match(word.text)):
            command.assignments.append(word.text)
            self._variables.set(found.group(1), found.group(3), more=bool(found.group(2)))
            self._made_by(found.group(1), command.inside)
        elif command.words or here.quoted or word.text not in _BEFORE:
            if here.function:
                self._functions.add(word.text)
                here.function = False
            else:
                here.case = here.case if command.words else word == _CASE and not here.quoted
                command.words.append(word)
        else:
            here.function = word.text == "function"

    def _made_by(self, name: str, commands: Sequence[SimpleCommand]) -> None:
        """Remember which commands an unknown value comes from."""
        if commands and len(self._makers) < MAKERS_MAX:
            self._makers[name] = tuple(commands[-PIPELINE_MAX:])

    def _redirected(self, word: Word) -> None:
        redirect, self._here.redirect = self._here.redirect, ""
        if redirect in ("<<", "<<-"):
            self._heredocs.append((self._here.command, word.text, redirect == "<<-", self._here.quoted))
        elif redirect == "<<<":
            self._here.command.given.append(word)
        elif ">" in redirect and not (redirect == ">&" and (word.text.isdigit() or word.text == "-")):
            self._here.command.writes.append(word)

    def _end_command(self, operator: str) -> None:
        self._end_word()
        here = self._here
        here.redirect = ""
        command, here.command = here.command, SimpleCommand()
        if command or command.given:
            command.before = list(here.pipeline)
            self._out.append(command)
            self._learn(command)
        if operator in ("|", "|&"):
            if command and not here.pattern:
                here.pipeline = [*here.pipeline, command][-PIPELINE_MAX:]
            here.piped = True
        elif operator != "(" and (command or operator != "\n" or not here.piped):
            here.piped = False
            # a newline behind `|` goes on with the pipeline
            here.pipeline = []

    def _learn(self, command: SimpleCommand) -> None:
        """What later words may refer to."""
        texts = [word.text for word in command.words]
        name = texts[0] if texts else ""
        if name in _DECLARES:
            for text in texts[1:]:
                if found := _ASSIGNMENT.match(text):
                    self._variables.set(found.group(1), found.group(3), more=bool(found.group(2)))
        elif name == "set" and "--" in texts:
            self._variables.positional(texts[texts.index("--") + 1 :])
        elif name in ("for", "select") and len(texts) > 3 and texts[2] == "in":
            self._variables.loop(texts[1], texts[3:])
        elif name == "read":
            for text in texts[1:]:
                self._made_by(text, [*command.before, *command.inside])
        elif name == "case" and self._here.case:
            self._here.pipeline = []
            if texts[-1] != "esac":
                self._here.cases += 1
                self._here.pattern = True
        elif name == "esac":
            self._here.cases = max(0, self._here.cases - 1)
            self._here.pattern = False
        if name in self._functions and any(b.words and b.words[0].text == name for b in command.before):
            self._out.append(SimpleCommand(words=[Word(FORK_BOMB)]))

    def _skip_heredocs(self, position: int) -> int:
        for command, delimiter, tabs, quoted in self._heredocs:
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
            command.given.append(Word(body, quoted or "$" not in body))
            # a quoted delimiter makes the body plain data
            if not quoted and ("$(" in body or "`" in body):
                self._in_body(body)
        self._heredocs.clear()
        return position

    def _in_body(self, body: str) -> None:
        start = body.find("$(")
        if start >= 0:
            self._out += simple_commands(body[start + 2 :], self._depth + 1, self._budget, self._variables)
        for part in body.split("`")[1::2]:
            self._out += simple_commands(part, self._depth + 1, self._budget, self._variables)


def _plain_words(command: SimpleCommand) -> bool:
    return not command.before and not command.inside and all("$" not in word.text for word in command.words)
