"""Tokens → tree, by a Pratt parser: `or` binds at 10, `and` at 20, `not` at 30, clauses bind tightest.

    selector := clause | "not" selector | selector ("and" | "or") selector | "(" selector ")"
    clause   := "all" | "true" | "online" | "offline" | name ("," name)*
              | text ["not"] "in" "groups" | "has" field | field "=~" text | field ["not"] "in" "[" value ("," value)* "]"
              | field operator value | "version" "(" field ")" operator text
    field    := ("labels" | "facts" | "system") "[" text "]"

Every error is BadSelector: column, what was expected, what was there, often a remedy. Nesting is at most 64 deep.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from corral.domain.errors import BadSelector
from corral.domain.ids import NODE_ID, RESERVED
from corral.domain.selector import values
from corral.domain.selector.lexer import bad, tokens
from corral.domain.selector.pattern import PATTERN_MAX_CHARS, BadPattern, compile_pattern
from corral.domain.selector.tokens import EQUALITY, MATCHES, ORDERING, Kind, Token
from corral.domain.selector.tree import (
    And,
    Compare,
    Everything,
    Has,
    InGroup,
    Literal,
    Matches,
    Named,
    Not,
    OneOf,
    Online,
    Or,
    Source,
    Tree,
)

DEPTH_MAX: Final = 64
GLOBS_MAX: Final = 64
"""Globs and patterns in one selector: each is tried on every distinct value, so their number bounds the work."""

Matcher = Callable[[str], Callable[[str], bool]]
"""Makes a linear-time search out of a pattern; raises BadPattern."""

_GLOB: Final = re.compile(r"[a-z0-9*?-]{1,128}\Z")
_START: Final = "an id, all, online, offline, labels[...], facts[...], has, not or '('"
_SOURCES: Final = {"labels": Source.LABELS, "facts": Source.FACTS, "system": Source.FACTS}


@lru_cache(maxsize=1024)
def parse(text: str) -> Tree:
    """The tree of a selector. Raises BadSelector. Equal texts share one tree."""
    return Parser(text, compile_pattern).run()


class Parser:
    """One run over one text."""

    def __init__(self, text: str, matcher: Matcher) -> None:
        self._text = text
        self._matcher = matcher
        self._tokens = tokens(text)
        self._at = 0
        self._depth = 0
        self._tries = 0

    def run(self) -> Tree:
        if self._peek().kind is Kind.END:
            raise bad(self._text, 1, _START, "an empty text", "select every node with: all")
        tree = self._expression(0)
        if self._peek().kind is not Kind.END:
            raise self._stray(self._peek())
        return tree

    # ── expressions ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _expression(self, binding: int) -> Tree:
        left = self._prefix()
        for word, power in (("and", 20), ("or", 10)):
            if binding >= power or not self._is_word(word):
                continue
            terms = [left]
            while self._is_word(word):
                self._take()
                terms.append(self._expression(power))
            left = And(terms=tuple(terms)) if word == "and" else Or(terms=tuple(terms))
        return left

    def _prefix(self) -> Tree:
        token = self._take()
        if token.kind is Kind.TEXT:
            return self._group(token)
        if token.kind is Kind.OPEN or (token.value == "not" and token.kind is Kind.WORD):
            return self._nested(token)
        if token.kind is not Kind.WORD:
            raise self._expected(_START, token)
        clause = {
            "all": self._everything,
            "true": self._everything,
            "online": self._presence,
            "offline": self._presence,
            "has": self._has,
            "version": self._version,
            "labels": self._field,
            "facts": self._field,
            "system": self._field,
            "groups": self._bare_groups,
            "metrics": self._reserved,
            "job": self._reserved,
        }.get(token.value, self._names)
        return clause(token)

    def _nested(self, token: Token) -> Tree:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._expected(f"at most {DEPTH_MAX} nested parentheses and nots", token, "simplify the selector")
        if token.kind is Kind.OPEN:
            tree = self._expression(0)
            close = self._take()
            if close.kind is not Kind.CLOSE:
                raise self._expected(f"'and', 'or' or ')' for the '(' at column {token.column}", close)
        else:
            tree = Not(term=self._expression(30))
        self._depth -= 1
        return tree

    # ── clauses ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _everything(self, token: Token) -> Tree:
        return Everything(start=token.column - 1, end=token.end)

    def _presence(self, token: Token) -> Tree:
        return Online(connected=token.value == "online", start=token.column - 1, end=token.end)

    def _names(self, token: Token) -> Tree:
        ids: list[str] = []
        globs: list[str] = []
        first = last = token
        while True:
            self._name(last, ids, globs)
            if self._peek().kind is not Kind.COMMA:
                break
            self._take()
            last = self._take()
            if last.kind is not Kind.WORD:
                raise self._expected("a node id or a glob after ','", last)
        return Named(
            ids=tuple(dict.fromkeys(ids)),
            globs=tuple(dict.fromkeys(globs)),
            start=first.column - 1,
            end=last.end,
        )

    def _name(self, token: Token, ids: list[str], globs: list[str]) -> None:
        word = token.value
        if word in RESERVED:
            if not ids and not globs:
                raise self._expected(_START, token)
            raise self._expected("a node id or a glob", token, "a list holds ids only; combine with 'and', 'or'")
        if (
            word.lower() in ("and", "or", "not", "in", "all", "true", "online", "offline", "has")
            and word != word.lower()
        ):
            raise self._expected("a node id or a glob", token, f"keywords are lower-case: {word.lower()}")
        if "*" in word or "?" in word:
            if _GLOB.match(word) is None:
                raise self._expected("a glob of a-z, 0-9, '-', '*' and '?'", token, "node ids are lower-case")
            self._count_try(token)
            globs.append(word)
        elif NODE_ID.match(word) is None:
            hint = "node ids are lower-case" if NODE_ID.match(word.lower()) else None
            source, dot, key = word.partition(".")
            if dot and source in _SOURCES:
                hint = f'write: {source}["{key}"]'
            raise self._expected("a node id (1-63 characters a-z, 0-9, '-', not '-' at either end)", token, hint)
        else:
            ids.append(word)

    def _group(self, token: Token) -> Tree:
        negated = self._is_word("not")
        if negated:
            self._take()
        word = self._take()
        if word.kind is not Kind.WORD or word.value != "in":
            hint = f"write ids without quotes: {token.value}" if NODE_ID.match(token.value) else None
            raise self._expected("'in groups' after a quoted text", word, hint)
        groups = self._take()
        if groups.kind is not Kind.WORD or groups.value != "groups":
            raise self._expected("'groups' after 'in'", groups, f"example: {token.raw} in groups")
        return InGroup(group=token.value, negated=negated, start=token.column - 1, end=groups.end)

    def _bare_groups(self, token: Token) -> Tree:
        raise self._expected("a group's name before 'groups'", token, 'example: "canary" in groups')

    def _has(self, token: Token) -> Tree:
        name = self._take()
        if name.kind is not Kind.WORD or name.value not in _SOURCES:
            raise self._expected("labels[...] or facts[...] after 'has'", name, 'example: has labels["gpu"]')
        source, key, end = self._key(name)
        return Has(source=source, key=key, start=token.column - 1, end=end)

    def _field(self, token: Token) -> Tree:
        source, key, _ = self._key(token)
        start = token.column - 1
        sign = self._take()
        negated = sign.kind is Kind.WORD and sign.value == "not"
        if negated:
            sign = self._take()
            if not (sign.kind is Kind.WORD and sign.value == "in"):
                raise self._expected("'in' after 'not'", sign)
        if sign.kind is Kind.WORD and sign.value == "in":
            listed, end = self._list(source)
            return OneOf(source=source, key=key, values=listed, negated=negated, start=start, end=end)
        allowed = "'==', '!=', '=~', 'in' or 'not in'"
        if source is Source.FACTS:
            allowed = f"'<', '<=', '>', '>=', {allowed}"
        if sign.kind is not Kind.OPERATOR:
            raise self._expected(f"{allowed} after {token.value}[...]", sign, _has_hint(token, key, sign))
        if sign.value == MATCHES:
            return self._pattern(source, key, start)
        if sign.value in ORDERING and source is Source.LABELS:
            raise self._expected(
                allowed, sign, f'a label is text; compare a fact, or write: version(labels["{key}"]) {sign.value} "1.2"'
            )
        value = self._take()
        literal = self._literal(value, source, number_only=sign.value in ORDERING)
        return Compare(source=source, key=key, operator=sign.value, value=literal, start=start, end=value.end)

    def _version(self, token: Token) -> Tree:
        self._want(Kind.OPEN, "'(' after 'version'", 'example: version(facts["kernel"]) < "6.1"')
        name = self._take()
        if name.kind is not Kind.WORD or name.value not in _SOURCES:
            raise self._expected("facts[...] or labels[...]", name, 'example: version(facts["kernel"]) < "6.1"')
        source, key, _ = self._key(name)
        self._want(Kind.CLOSE, "')' after the field")
        sign = self._take()
        if sign.kind is not Kind.OPERATOR or sign.value not in ORDERING | EQUALITY:
            raise self._expected("'<', '<=', '>', '>=', '==' or '!=' after version(...)", sign)
        value = self._take()
        if value.kind is not Kind.TEXT or values.version_key(value.value) is None:
            hint = f'write: "{value.value}"' if value.kind is Kind.WORD else 'example: "6.1"'
            raise self._expected("a quoted version", value, hint)
        return Compare(
            source=source,
            key=key,
            operator=sign.value,
            value=value.value,
            by_version=True,
            start=token.column - 1,
            end=value.end,
        )

    def _reserved(self, token: Token) -> Tree:
        what = 'metrics["..."]' if token.value == "metrics" else 'job("...")'
        raise BadSelector(
            f"cannot read the selector at column {token.column}: {what} is reserved and cannot be selected by yet",
            text=self._text,
            column=token.column,
            hint="select by labels[...], facts[...], groups, online or offline",
        )

    # ── parts of clauses ─────────────────────────────────────────────────────────────────────────────────────────────

    def _key(self, name: Token) -> tuple[Source, str, int]:
        example = f'example: {name.value}["{"role" if name.value == "labels" else "hostname"}"]'
        self._want(Kind.OPEN_BRACKET, f"'[' after '{name.value}'", example)
        key = self._want(Kind.TEXT, f"a quoted name inside {name.value}[...]", example)
        close = self._want(Kind.CLOSE_BRACKET, f"']' after {name.value}[{key.raw}")
        return _SOURCES[name.value], key.value, close.end

    def _pattern(self, source: Source, key: str, start: int) -> Tree:
        token = self._want(Kind.TEXT, "a quoted pattern after '=~'", 'example: "^r1[0-9]$"')
        if len(token.value) > PATTERN_MAX_CHARS:
            raise self._expected(f"a pattern of at most {PATTERN_MAX_CHARS} characters", token)
        self._count_try(token)
        try:
            search = self._matcher(token.value)
        except BadPattern as error:
            raise bad(
                self._text, token.column, f"a pattern: at its character {error.position}, {error.expected}", error.got
            ) from None
        return Matches(source=source, key=key, pattern=token.value, search=search, start=start, end=token.end)

    def _list(self, source: Source) -> tuple[tuple[Literal, ...], int]:
        self._want(Kind.OPEN_BRACKET, "'[' after 'in'", 'example: in ["prod", "stage"]')
        out: list[Literal] = []
        while True:
            out.append(self._literal(self._take(), source, number_only=False))
            token = self._take()
            if token.kind is Kind.CLOSE_BRACKET:
                return tuple(out), token.end
            if token.kind is not Kind.COMMA:
                raise self._expected("',' or ']'", token)

    def _literal(self, token: Token, source: Source, *, number_only: bool) -> Literal:
        if token.kind is Kind.TEXT:
            if number_only:
                hint = 'compare versions with: version(facts["kernel"]) < "6.1"'
                if values.literal_number(token.value) is not None:
                    hint = f"write it without quotes: {token.value}"
                raise self._expected("a number or a size such as 16GiB", token, hint)
            return token.value
        if token.kind is Kind.WORD and source is Source.FACTS:
            if token.value in ("true", "false") and not number_only:
                return token.value
            number = values.literal_number(token.value)
            if number is not None:
                return number
        expected = "a quoted text"
        if source is Source.FACTS:
            expected = "a number or a size such as 16GiB" if number_only else "a quoted text, a number or a size"
        quote = f'quote it: "{token.value}"' if token.kind is Kind.WORD and not number_only else None
        raise self._expected(expected, token, quote)

    # ── tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        if token.kind is not Kind.END:
            self._at += 1
        return token

    def _is_word(self, word: str) -> bool:
        token = self._peek()
        return token.kind is Kind.WORD and token.value == word

    def _want(self, kind: Kind, expected: str, hint: str | None = None) -> Token:
        token = self._take()
        if token.kind is not kind:
            raise self._expected(expected, token, hint)
        return token

    def _count_try(self, token: Token) -> None:
        self._tries += 1
        if self._tries > GLOBS_MAX:
            raise self._expected(f"at most {GLOBS_MAX} globs and patterns", token, "select by a label or a group")

    def _expected(self, expected: str, token: Token, hint: str | None = None) -> BadSelector:
        return bad(self._text, token.column, expected, token.shown(), hint)

    def _stray(self, token: Token) -> BadSelector:
        hint = None
        if token.kind is Kind.CLOSE:
            return self._expected("'and', 'or' or the end (this ')' closes nothing)", token)
        if token.kind is Kind.WORD and token.value.lower() in ("and", "or"):
            hint = f"keywords are lower-case: {token.value.lower()}"
        elif token.kind is Kind.WORD and token.value == "in":
            hint = f'quote the group: "{self._tokens[self._at - 1].value}" in groups'
        elif token.kind is Kind.OPEN_BRACKET:
            hint = 'fields are labels["..."], facts["..."] and system["..."]'
        elif token.kind is Kind.WORD and token.value not in RESERVED:
            hint = "separate ids by commas"
        return self._expected("'and', 'or' or the end", token, hint)


def _has_hint(name: Token, key: str, sign: Token) -> str | None:
    if sign.kind is Kind.END or (sign.kind is Kind.WORD and sign.value in ("and", "or")) or sign.kind is Kind.CLOSE:
        return f'to ask whether it is there: has {name.value}["{key}"]'
    return None
