"""A pattern matcher that is linear in the text whatever the pattern: Thompson's machine with remembered steps, no backtracking.

Understands literals, `.`, `[a-z]`, `[^…]`, `^`, `$`, `*`, `+`, `?`, `{n}`, `{n,}`, `{n,m}`, `|`, `( )`, `(?: )`, and the classes
\\d \\w \\s \\D \\W \\S; a backslash before any other mark makes it literal. Unanchored, as re.search; `$` is the very end. What a
backtracking engine needs (back references, look-around) does not exist here and is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final, TypeAlias

PATTERN_MAX_CHARS: Final = 256
STATES_MAX: Final = 1000
REPEAT_MAX: Final = 255
_STEPS_KEPT: Final = 20_000

Test: TypeAlias = Callable[[str], bool]


class BadPattern(ValueError):
    """A pattern outside the language. `position` counts from 1."""

    def __init__(self, position: int, expected: str, got: str) -> None:
        super().__init__(f"at character {position}: {expected}, got {got}")
        self.position = position
        self.expected = expected
        self.got = got


# The parsed pattern: tuples whose first item says what they are.
#   ("test", test) ("begin",) ("end",) ("empty",) ("cat", [items]) ("alt", [items]) ("repeat", item, low, high | None)
Piece: TypeAlias = tuple[Any, ...]

_CLASSES: Final[dict[str, Test]] = {
    "d": str.isdecimal,
    "w": lambda c: c.isalnum() or c == "_",
    "s": str.isspace,
    "D": lambda c: not c.isdecimal(),
    "W": lambda c: not (c.isalnum() or c == "_"),
    "S": lambda c: not c.isspace(),
}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}


def _literal(char: str) -> Piece:
    return ("test", char.__eq__)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def read(self) -> Piece:
        piece = self._alternatives()
        if self._at < len(self._text):
            raise self._bad("expected the end or '|'")
        return piece

    def _bad(self, expected: str, at: int | None = None) -> BadPattern:
        at = self._at if at is None else at
        got = repr(self._text[at]) if at < len(self._text) else "the end"
        return BadPattern(at + 1, expected, got)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _alternatives(self) -> Piece:
        branches = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else ("alt", branches)

    def _sequence(self) -> Piece:
        items = []
        while self._peek() not in ("", "|", ")"):
            items.append(self._repeated())
        return ("cat", items) if items else ("empty",)

    def _repeated(self) -> Piece:
        start = self._at
        piece = self._atom()
        bounds = self._bounds()
        if bounds is None:
            return piece
        if piece[0] in ("begin", "end"):
            raise self._bad("expected something to repeat before the repetition", start)
        if self._peek() == "?":  # a lazy repetition finds a match exactly when the greedy one does
            self._at += 1
        if self._bounds() is not None:
            raise self._bad("expected one repetition, not two", self._at - 1)
        return ("repeat", piece, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        char = self._peek()
        if char in ("*", "+", "?") and char:
            self._at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        if char != "{":
            return None
        close = self._text.find("}", self._at)
        low, comma, high = self._text[self._at + 1 : max(close, self._at)].partition(",")
        if close < 0 or not _short_number(low) or (high and not _short_number(high)):
            raise self._bad("expected {n}, {n,} or {n,m} (write \\{ for a brace)")
        least = int(low)
        most = None if comma and not high else int(high) if comma else least
        if least > REPEAT_MAX or (most or 0) > REPEAT_MAX or (most is not None and most < least):
            raise self._bad(f"expected rising bounds of at most {REPEAT_MAX}")
        self._at = close + 1
        return least, most

    def _atom(self) -> Piece:
        char = self._peek()
        self._at += 1
        if char == ".":
            return ("test", "\n".__ne__)
        if char == "^":
            return ("begin",)
        if char == "$":
            return ("end",)
        if char == "[":
            return ("test", self._set())
        if char == "(":
            return self._grouped()
        if char == "\\":
            test = self._escape()
            return _literal(test) if isinstance(test, str) else ("test", test)
        if char in "*+?{":
            raise self._bad("expected something to repeat before the repetition", self._at - 1)
        return _literal(char)

    def _grouped(self) -> Piece:
        opened = self._at - 1
        if self._peek() == "?":
            if self._text[self._at : self._at + 2] != "?:":
                raise self._bad("expected a plain group (look-around, flags and names do not exist here)")
            self._at += 2
        self._depth += 1
        if self._depth > 32:
            raise self._bad("expected at most 32 nested groups", opened)
        piece = self._alternatives()
        self._depth -= 1
        if self._peek() != ")":
            raise self._bad("expected ')' for this group", opened)
        self._at += 1
        return piece

    def _escape(self) -> str | Test:
        char = self._peek()
        if not char:
            raise self._bad("expected a character after '\\'")
        self._at += 1
        if char in _CLASSES:
            return _CLASSES[char]
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char.isascii() and char.isalnum():
            raise self._bad("expected \\d, \\w, \\s, \\D, \\W, \\S or an escaped mark", self._at - 1)
        return char

    def _set(self) -> Test:
        opened = self._at - 1
        negated = self._peek() == "^"
        if negated:
            self._at += 1
        chars: set[str] = set()
        ranges: list[tuple[str, str]] = []
        tests: list[Test] = []
        first = True
        while first or self._peek() != "]":
            first = False
            low = self._set_item(opened)
            if not isinstance(low, str):
                tests.append(low)
                continue
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                at = self._at
                self._at += 1
                high = self._set_item(opened)
                if not isinstance(high, str) or high < low:
                    raise self._bad("expected a rising range such as a-z", at)
                ranges.append((low, high))
            else:
                chars.add(low)
        self._at += 1

        def test(char: str) -> bool:
            inside = char in chars or any(a <= char <= b for a, b in ranges) or any(t(char) for t in tests)
            return inside is not negated

        return test

    def _set_item(self, opened: int) -> str | Test:
        char = self._peek()
        if not char:
            raise self._bad("expected ']' for this set", opened)
        self._at += 1
        return self._escape() if char == "\\" else char


def _short_number(text: str) -> bool:
    return 0 < len(text) <= 4 and text.isascii() and text.isdigit()


def _size(piece: Piece) -> int:
    """States the piece will need; counted before anything is built, so a bomb is refused and not expanded."""
    if piece[0] in ("cat", "alt"):
        return 1 + sum(_size(item) for item in piece[1])
    if piece[0] == "repeat":
        low: int = piece[2]
        high: int | None = piece[3]
        return 1 + (_size(piece[1]) + 1) * max(1, low + 1 if high is None else high)
    return 1


class Program:
    """A compiled pattern. `search` remembers the steps it has seen, so the next values of a fleet run at one look-up a character."""

    def __init__(self, piece: Piece) -> None:
        self._tests: list[Test | None] = []
        self._next: list[tuple[int, ...]] = []
        self._kind: list[str] = []
        self._final = self._state("match")
        self._start = self._build(piece, self._final)
        self._first = self._close((self._start,), begin=True)
        self._restart = self._close((self._start,), begin=False)
        self._steps: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def search(self, text: str) -> bool:
        """Whether the pattern occurs anywhere in `text`."""
        states = self._first
        steps, final = self._steps, self._final
        for char in text:
            if final in states:
                return True
            following = steps.get((states, char))
            if following is None:
                following = self._step(states, char)
            states = following
        return final in states or final in self._close(states, begin=not text, end=True)

    def _step(self, states: frozenset[int], char: str) -> frozenset[int]:
        reached = [
            target
            for state in states
            if (test := self._tests[state]) is not None and test(char)
            for target in self._next[state]
        ]
        following = self._close(reached, begin=False) | self._restart
        if len(self._steps) >= _STEPS_KEPT:
            self._steps.clear()
        self._steps[states, char] = following
        return following

    def _close(self, states: Iterable[int], *, begin: bool, end: bool = False) -> frozenset[int]:
        """Everything reachable without reading a character."""
        seen: set[int] = set()
        todo = list(states)
        while todo:
            state = todo.pop()
            if state in seen:
                continue
            seen.add(state)
            kind = self._kind[state]
            if kind == "split" or (kind == "begin" and begin) or (kind == "end" and end):
                todo.extend(self._next[state])
        return frozenset(s for s in seen if self._kind[s] in ("test", "end", "match"))

    def _state(self, kind: str, *following: int, test: Test | None = None) -> int:
        self._kind.append(kind)
        self._next.append(following)
        self._tests.append(test)
        return len(self._kind) - 1

    def _build(self, piece: Piece, following: int) -> int:
        """The entry state of `piece`, which leads on to `following`."""
        kind = piece[0]
        if kind == "test":
            return self._state("test", following, test=piece[1])
        if kind in ("begin", "end"):
            return self._state(kind, following)
        if kind == "cat":
            for item in reversed(piece[1]):
                following = self._build(item, following)
            return following
        if kind == "alt":
            return self._state("split", *(self._build(item, following) for item in piece[1]))
        if kind == "repeat":
            return self._repeat(piece[1], piece[2], piece[3], following)
        return following

    def _repeat(self, item: Piece, low: int, high: int | None, following: int) -> int:
        if high is None:
            loop = self._state("split")
            self._next[loop] = (self._build(item, loop), following)
            entry = loop
        else:
            entry = following
            for _ in range(high - low):
                entry = self._state("split", self._build(item, entry), following)
        for _ in range(low):
            entry = self._build(item, entry)
        return entry


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Test:
    """`pattern` → a function that says whether it occurs in a text. Raises BadPattern."""
    if len(pattern) > PATTERN_MAX_CHARS:
        raise BadPattern(PATTERN_MAX_CHARS + 1, f"expected at most {PATTERN_MAX_CHARS} characters", str(len(pattern)))
    piece = _Reader(pattern).read()
    if _size(piece) > STATES_MAX:
        raise BadPattern(1, "expected a smaller pattern (its repetitions multiply)", f"{_size(piece)} states")
    return Program(piece).search
