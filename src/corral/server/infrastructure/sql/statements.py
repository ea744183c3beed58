"""SQL as text, in the two spellings we speak. Values are always bound; the text is made of constants only.

A statement may hold these words:
    :name      a bound value
    $rows      a table `v` of the rows bound to it (columns as declared)
    $in(name)  a set made from the bound JSON array of texts `name` (as_set)
    $lock      `for update` of the table called t, where the database has row locks; SQLite has one writer, who needs none
    $skip      the same, passing over rows that somebody else holds

Why SQLite gets its rows as VALUES and answers a query of many rows as one JSON array (`out` names its columns): its driver drops
the interpreter lock at every step of a statement, and while the event loop is busy each return costs up to 5 ms. Measured for
1,000 rows beside a busy loop: executemany 1,134 ms, VALUES 20 ms; rows fetched one by one 308 ms, as one array 14 ms.
The rows of one call may be split over several executions, and be padded with rows of NULLs, which a statement must not store.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from corral.server.infrastructure.sql.values import clean

Dialect = Literal["sqlite", "postgresql"]
Rows = Sequence[Sequence[Any]]

_NAME: Final = re.compile(r":(\w+)")
_IN: Final = re.compile(r"\$in\((\w+)\)")
_SIZES: Final = (1, 16, 128, 1024)
"""Rows per execution on SQLite: few sizes, so that prepared statements are found again; 1,024 x 26 values < its limit of 32,766."""
_LOCKS: Final = {"$lock": "for update of t", "$skip": "for update of t skip locked"}


class Statement:
    """One statement for both databases.

    `columns` (name → SQL type) declares the table of `$rows`; `out` names the columns of a query that answers with many rows.
    """

    def __init__(self, sql: str, columns: Mapping[str, str] | None = None, *, out: Sequence[str] = ()) -> None:
        self._columns = dict(columns or {})
        self.many = bool(out)
        self.takes_rows = "$rows" in sql
        self.postgresql = _for_postgresql(sql, self._columns)
        self._sqlite = _for_sqlite(sql, out)
        # Every value is a bare question mark in the order of the text: numbered ones take SQLite quadratic time to prepare.
        before, _, behind = self._sqlite.partition("$rows")
        self._before, self._behind = _NAME.findall(before), _NAME.findall(behind)
        self._texts: dict[int, str] = {}

    def sqlite(self, values: Mapping[str, Any], rows: Rows) -> Iterator[tuple[str, list[Any]]]:
        """Text and values of each execution it takes."""
        before, behind = [values[name] for name in self._before], [values[name] for name in self._behind]
        if not self.takes_rows:
            yield self._text(0), before
            return
        width = len(self._columns)
        start = 0
        while start < len(rows):
            size = _size(len(rows) - start)
            flat = [value for row in rows[start : start + size] for value in row]
            flat += [None] * (size * width - len(flat))
            yield self._text(size), [*before, *flat, *behind]
            start += size

    def _text(self, size: int) -> str:
        text = self._texts.get(size)
        if text is None:
            row = "(" + ",".join("?" * len(self._columns)) + ")"
            named = ", ".join(f"column{i + 1} as {name}" for i, name in enumerate(self._columns))
            table = f"(select {named} from (values {','.join([row] * size)})) as v"
            text = self._texts[size] = _NAME.sub("?", self._sqlite).replace("$rows", table)
        return text


def _size(left: int) -> int:
    """The largest size that is filled, or the next one when half of it or less would be wasted on many small ones."""
    for size in _SIZES:
        if left <= size or (left <= 2 * size and size > 1):
            return size
    return _SIZES[-1]


def _for_sqlite(sql: str, out: Sequence[str]) -> str:
    for word in _LOCKS:
        sql = sql.replace(word, "")
    sql = _IN.sub(r"(select value from json_each(:\1))", sql)
    if out:
        sql = f"select json_group_array(json_array({', '.join(out)})) from ({sql})"
    return sql


def _for_postgresql(sql: str, columns: Mapping[str, str]) -> str:
    for word, meaning in _LOCKS.items():
        sql = sql.replace(word, meaning)
    sql = _NAME.sub(r"%(\1)s", sql)
    parts = ", ".join(f"cast(value->>{i} as {kind}) as {name}" for i, (name, kind) in enumerate(columns.items()))
    sql = sql.replace("$rows", f"(select {parts} from jsonb_array_elements(cast(%(rows)s as jsonb))) as v")
    return _IN.sub(r"(select jsonb_array_elements_text(cast(%(\1)s as jsonb)))", sql)


def as_json(rows: Rows) -> str:
    return msgspec.json.encode(rows).decode()


def as_set(values: Iterable[str]) -> str:
    """The bound value of `$in(name)`. What no column can hold (a NUL) is in no set."""
    return msgspec.json.encode([clean(value) for value in values]).decode()


_DECODE: Final = msgspec.json.Decoder(list[list[Any]])


def from_json(text: str | bytes) -> list[list[Any]]:
    return _DECODE.decode(text)
