"""What a policy judges of a task: every command it would run, as far as its words say.

A text that holds characters which only look like others (full-width letters, Cyrillic, zero-width, odd blanks) is read a second time
as what it looks like: no shell would run it that way, but whoever approved it read it that way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from corral.domain.job import CommandSpec, Interpreter
from corral.domain.lookthrough import Command, calls_in, commands_of
from corral.domain.shelltext import TEXT_BYTES_MAX, simple_commands
from corral.domain.shelltokens import SimpleCommand, Word
from corral.domain.shellwords import TooDeep, Unreadable, Variables

_SHELLS: Final = frozenset({Interpreter.SH, Interpreter.BASH})
_FROM: Final = "аеорсухіѕԁһјкмтвнԛԝгпьο∕⁄⧸╱‐‑‒–—−ᴦ∼˜٭∗⁎＊"
_TO: Final = "aeopcyxisdhjkmtbhqwrnbo////------r~~****"
_NO_QUOTES: Final = str.maketrans("", "", "'\"\\")
_LOOKALIKES: Final = dict(zip(map(ord, _FROM), _TO, strict=True))


@dataclass(frozen=True, kw_only=True)
class Reading:
    """`readable` False: it could not be followed, and `commands` are what a crude cut found. `folded`: look-alikes were replaced."""

    commands: Sequence[Command] = field(default_factory=tuple)
    text: str = ""
    readable: bool = True
    is_text: bool = False
    too_long: bool = False
    folded: bool = False


def readings(spec: CommandSpec) -> list[Reading]:
    """As it is written, and where it differs, as it looks."""
    first = _read(spec, spec.argv, _text_of(spec))
    if first.too_long or first.text.isascii():
        return [first]
    argv = tuple(map(folded, spec.argv))
    text = _text_of(spec)
    text = None if text is None else folded(text)
    if argv == spec.argv and text == _text_of(spec):
        return [first]
    return [first, replace(_read(spec, argv, text), folded=True)]


def folded(text: str) -> str:
    """`text` with look-alikes replaced by what they look like, odd blanks by blanks, and invisible characters left out."""
    if text.isascii():
        return text
    import unicodedata  # a megabyte that a node only needs for such texts

    out = []
    for character in unicodedata.normalize("NFKC", text).translate(_LOOKALIKES):
        category = unicodedata.category(character)
        if category == "Zs":
            out.append(" ")
        elif category in ("Zl", "Zp"):
            out.append("\n")
        elif category not in ("Cf", "Mn"):
            out.append(character)
    return "".join(out)


def _text_of(spec: CommandSpec) -> str | None:
    return spec.shell if spec.shell is not None else spec.script


def _read(spec: CommandSpec, argv: Sequence[str], text: str | None) -> Reading:
    shell = text is not None and (spec.shell is not None or spec.interpreter in _SHELLS)
    variables = Variables(spec.env)
    stdin = _stdin(spec)
    whole = " ".join(argv) if text is None else text
    if shell and len(whole.encode("utf-8", "replace")) > TEXT_BYTES_MAX:
        return Reading(text=whole[:TEXT_BYTES_MAX], is_text=True, readable=False, too_long=True)
    try:
        if text is None:
            simple = [SimpleCommand(words=[Word(part) for part in argv])]
            return Reading(commands=commands_of(simple, cwd=spec.cwd, stdin=stdin, variables=variables), text=whole)
        if not shell:
            # another language: only what it hands to a shell in one piece can be seen
            found = calls_in(whole[:TEXT_BYTES_MAX], cwd=spec.cwd)
            return Reading(commands=found, text=whole[:TEXT_BYTES_MAX], readable=False, is_text=True)
        simple = simple_commands(whole, variables=variables)
        commands = commands_of(simple, cwd=spec.cwd, stdin=stdin, variables=variables)
        return Reading(commands=commands, text=whole, is_text=True)
    except TooDeep:
        return Reading(text=whole[:TEXT_BYTES_MAX], is_text=text is not None, readable=False, too_long=True)
    except Unreadable:
        return Reading(
            commands=_crude(whole[:TEXT_BYTES_MAX]),
            text=whole[:TEXT_BYTES_MAX],
            readable=False,
            is_text=text is not None,
        )


def _stdin(spec: CommandSpec) -> str | None:
    return None if not spec.stdin else spec.stdin[:TEXT_BYTES_MAX].decode("utf-8", "replace")


def _crude(text: str) -> list[Command]:
    """What is left of an unreadable text: every line and every piece between operators, split at blanks."""
    for mark in ";&|()`\n":
        text = text.replace(mark, "\n")
    simple = [
        SimpleCommand(words=[Word(part.translate(_NO_QUOTES), False) for part in line.split()])
        for line in text.split("\n")
        if line.strip()
    ]
    try:
        return commands_of(simple, cwd=None)
    except Unreadable:
        return []
