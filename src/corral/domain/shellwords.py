"""What stands in the place of an expansion when a text itself says so: variables it set, defaults, braces, `echo` and `printf`.

Nothing here looks at a machine: a variable is known only when the text (or the task's own environment) set it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_VALUE_CHARS_MAX: Final = 4096
_NAMES_MAX: Final = 1024
_WORDS_MAX: Final = 64
_PARAMETER: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*|[0-9@*])(?:(:?[-=+?])(.*)|([#%/:^,@].*))?\}", re.DOTALL)
_BRACES: Final = re.compile(r"([^{}]*)\{([^{}]*,[^{}]*)\}([^{}]*)", re.DOTALL)
_C_ESCAPE: Final = re.compile(
    r"\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,8}|0[0-7]{1,3}|[0-7]{1,3}|.)", re.DOTALL
)
_C_NAMES: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}


class Unreadable(ValueError):
    """A text this lexer cannot follow: unbalanced quotes, nested too deep, too long."""


class TooDeep(Unreadable):
    """Nested or repeated beyond anything people write: no cut into pieces would do it justice."""


class Budget:
    """How many characters may still be read for one task, nested and inserted ones included: what keeps the whole check linear."""

    def __init__(self, left: int = 256 << 10) -> None:
        self._left = left

    def spend(self, characters: int) -> None:
        self._left -= characters + 1
        if self._left < 0:
            raise TooDeep("too much nested text")


class Variables:
    """Name → the words it may stand for; a name that is not in here is unknown."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self.makers: dict[str, tuple[Any, ...]] = {}
        """Name → the commands that an unknown value comes from."""
        self._values: dict[str, tuple[str, ...]] = {"HOME": ("/root",), "@": (), "*": ()}
        for name, value in given.items():
            self.set(name, value)

    def set(self, name: str, value: str, *, more: bool = False) -> None:
        if more:
            value = "".join(self._values.get(name, ())) + value
        self._keep(name, (value,))

    def loop(self, name: str, values: Sequence[str]) -> None:
        self._keep(name, tuple(values[:_WORDS_MAX]))

    def positional(self, values: Sequence[str]) -> None:
        self._keep("@", tuple(values[:_WORDS_MAX]))
        self._keep("*", tuple(values[:_WORDS_MAX]))
        for index, value in enumerate(values[:9], 1):
            self._keep(str(index), (value,))

    def _keep(self, name: str, values: tuple[str, ...]) -> None:
        unknown = any("$" in value for value in values) or sum(map(len, values)) > _VALUE_CHARS_MAX
        if unknown or len(self._values) >= _NAMES_MAX:
            self._values.pop(name, None)
        else:
            self._values[name] = values

    def get(self, name: str) -> tuple[str, ...] | None:
        return self._values.get(name)


@dataclass(frozen=True, slots=True)
class Found:
    """`values` None: unknown. `separator`: it ends a word. `shown`: an unknown one leaves a mark."""

    values: tuple[str, ...] | None = None
    separator: bool = False
    shown: bool = True


def parameter(token: str, variables: Variables) -> Found:
    """What `$name` or `${name…}` stands for."""
    match = _PARAMETER.match(token)
    if match is None:
        name, operator, word, change = token.strip("${}"), None, "", None
    else:
        name, operator, word, change = match.group(1), match.group(2), match.group(3) or "", match.group(4)
    if name == "IFS":
        return Found(separator=True)
    known = variables.get(name)
    if operator in (":-", "-", ":=", "=") and (known is None or (operator[0] == ":" and not "".join(known))):
        return Found() if "$" in word or "`" in word else Found((_unquoted(word),))
    if operator in (":+", "+"):
        return Found((_unquoted(word),)) if known and "$" not in word and "`" not in word else Found()
    if change is not None and known is not None:
        return _changed(known, change)
    if known == () and name in "@*":
        return Found(shown=False)
    return Found(known)


def _changed(known: tuple[str, ...], change: str) -> Found:
    """`${x:offset:length}` and `${x/a/b}` of a known value; anything else is unknown."""
    value = "".join(known)
    if cut := re.fullmatch(r":\s?(-?[0-9]{1,4})(?::([0-9]{1,4}))?", change):
        begin = int(cut.group(1))
        end = None if cut.group(2) is None else begin + int(cut.group(2))
        return Found((value[begin:end],))
    if swap := re.fullmatch(r"(//?)([^/*?\[]{1,64})/?([^/]{0,64})", change):
        return Found((value.replace(swap.group(2), swap.group(3), 1 if swap.group(1) == "/" else -1),))
    return Found()


def _unquoted(word: str) -> str:
    return word.replace("'", "").replace('"', "").replace("\\", "")


def braces(token: str) -> list[str]:
    """`{a,b}` as bash expands it, one pair per word."""
    match = _BRACES.fullmatch(token)
    if match is None:
        return [token]
    before, inside, behind = match.groups()
    parts = inside.split(",")
    return [before + part + behind for part in parts] if len(parts) <= _WORDS_MAX else [token]


def c_unescaped(text: str) -> str:
    return _C_ESCAPE.sub(_c_escape, text)


def _c_escape(match: re.Match[str]) -> str:
    what = match.group(1)
    if what[0] in "xuU" and len(what) > 1:
        code = int(what[1:], 16)
        return chr(code) if code < 0x110000 else ""
    if what[0] in "01234567":
        return chr(int(what, 8) & 0xFF)
    return _C_NAMES.get(what, what)


def echoed(words: Sequence[str]) -> str | None:
    """What `echo …` or `printf …` prints; None for any other command."""
    if not words or words[0].rpartition("/")[2] not in ("echo", "printf"):
        return None
    rest = list(words[1:])
    if words[0].rpartition("/")[2] == "echo":
        flags = ""
        while rest and rest[0] in ("-n", "-e", "-E", "-ne", "-en"):
            flags += rest.pop(0)
        text = " ".join(rest)
        return c_unescaped(text) if "e" in flags else text
    if rest[:1] == ["--"]:
        rest = rest[1:]
    if not rest:
        return None
    parts, rest = rest[0].split("%s"), rest[1:]
    if len(rest) > len(parts) - 1 > 0:
        parts = [parts[0], *parts[1:-1], *([parts[-1] + parts[0]] * (len(rest) - len(parts) + 1)), parts[-1]]
    filled = [part + (rest[i] if i < len(rest) and i < len(parts) - 1 else "") for i, part in enumerate(parts)]
    return c_unescaped("".join(filled))
