"""What the SQL kinds (postgres, mysql, clickhouse) have in common: the params of a task and what can be said of a text without a parser.

A user gives `sql`; the server's review splits it and stores `statements` instead (application/review). A node has no parser and needs
none: each statement goes to the database as one, by a protocol that takes no second, and only the first word is looked at here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from corral.domain.errors import Invalid

PERMISSION: Final = "sql.run"
SQL_CHARS_MAX: Final = 64 << 10
STATEMENTS_MAX: Final = 500
ROW_CAP: Final = 1000
ROW_CAP_MAX: Final = 100_000
STATEMENT_SECONDS: Final = 60.0
LINE_CHARS: Final = 120
EXECUTABLE_COMMENT: Final = "/*!"
"""What `first_word` answers for a text that begins with a comment which MySQL and MariaDB execute."""

_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": SQL_CHARS_MAX, "format": "sql"}
SCHEMA: Final[Mapping[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "sql": {**_TEXT, "description": "one or more statements, as a person writes them"},
        "statements": {
            "type": "array",
            "items": _TEXT,
            "minItems": 1,
            "maxItems": STATEMENTS_MAX,
            "description": "the same, one by one; the server makes them of sql",
        },
        "mode": {
            "type": "string",
            "enum": ["run", "explain"],
            "default": "run",
            "description": "explain: show the plan and the estimated rows, run nothing",
        },
        "read_only": {
            "type": "boolean",
            "default": False,
            "description": "the database itself refuses every change",
        },
        "row_cap": {
            "type": "integer",
            "minimum": 1,
            "maximum": ROW_CAP_MAX,
            "default": ROW_CAP,
            "description": "rows shown of each statement",
        },
        "statement_timeout_seconds": {
            "type": "number",
            "minimum": 0.1,
            "maximum": 86400,
            "default": STATEMENT_SECONDS,
            "description": "the database ends a statement that takes longer",
        },
        "format": {
            "type": "string",
            "enum": ["table", "json", "csv"],
            "default": "table",
            "description": "how rows are printed",
        },
        "arguments": {
            "type": "array",
            "maxItems": 100,
            "items": {"type": ["string", "number", "boolean", "null"]},
            "description": "values of the placeholders of a single statement: $1 (postgres), %s (mysql), {p1:String} (clickhouse)",
        },
    },
}


def more(params: Mapping[str, Any]) -> None:
    """Raise Invalid for what the schema cannot say."""
    if ("sql" in params) == ("statements" in params):
        raise Invalid(
            "cannot run SQL: expected exactly one of sql and statements",
            element="params.sql",
            hint="give the text as sql; the server splits it",
        )
    for number, text in enumerate(texts(params), 1):
        if "\0" in text:
            raise Invalid(f"cannot run statement {number}: it holds a NUL character", element="params.sql")
    total = sum(map(len, texts(params)))
    if total > SQL_CHARS_MAX:
        raise Invalid(
            f"cannot run {total} characters of SQL: at most {SQL_CHARS_MAX}",
            element="params.sql",
            hint="load data with the database's own tools; split a long migration into several jobs",
        )
    if params.get("arguments") and len(texts(params)) > 1:
        raise Invalid(
            f"cannot bind arguments to {len(texts(params))} statements: they belong to a single one",
            element="params.arguments",
            hint="submit the statement that has placeholders alone",
        )


def texts(params: Mapping[str, Any]) -> tuple[str, ...]:
    """The statements, or the one text that was not split yet."""
    return tuple(params["statements"]) if "statements" in params else (str(params.get("sql", "")),)


def changes(params: Mapping[str, Any]) -> bool:
    """What the database may change because of it; a plan is never carried out."""
    return not params.get("read_only", False) and params.get("mode", "run") != "explain"


def line(params: Mapping[str, Any]) -> str:
    """One line for people: the beginning of the first statement and how many follow."""
    found = texts(params)
    text = " ".join(found[0].split())
    text = text if len(text) <= LINE_CHARS else text[: LINE_CHARS - 1] + "…"
    words = [
        word
        for word, on in (("explain", params.get("mode") == "explain"), ("read-only", params.get("read_only")))
        if on
    ]
    mark = f"[{', '.join(words)}] " if words else ""
    return f"{mark}{text}" + (f" (+{len(found) - 1} statements)" if len(found) > 1 else "")


def first_word(text: str, *, hashes: bool = False, nested: bool = False) -> str:
    """The first word in upper case, past blanks, comments and opening brackets; "" when there is none.

    `hashes`: `#` begins a comment (MySQL); `nested`: comments nest (PostgreSQL). A comment that never ends leaves no word.
    """
    at, size = 0, len(text)
    while at < size:
        if text[at].isspace() or text[at] == "(":
            at += 1
        elif text.startswith("--", at) or (hashes and text[at] == "#"):
            end = text.find("\n", at)
            at = size if end < 0 else end + 1
        elif text.startswith(("/*!", "/*M!"), at):
            return EXECUTABLE_COMMENT
        elif text.startswith("/*", at):
            at = _comment_end(text, at, nested)
        else:
            break
    end = at
    while end < size and (text[end].isalnum() or text[end] == "_"):
        end += 1
    return text[at:end].upper()


def _comment_end(text: str, at: int, nested: bool) -> int:
    depth = 0
    while at < len(text):
        if text.startswith("/*", at) and (nested or depth == 0):
            depth, at = depth + 1, at + 2
        elif text.startswith("*/", at):
            depth, at = depth - 1, at + 2
            if depth == 0:
                return at
        else:
            at += 1
    return at
