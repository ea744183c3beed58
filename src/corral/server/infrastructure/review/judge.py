"""One statement judged: what it does, which tables it names, what is noteworthy about it.

What the parser knows by its first word only, or not at all, is judged by that word; what nothing is known about needs approval. A statement
counts as changing unless it is known to only read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from corral.domain.secret import references
from corral.server.application.ports.review import Finding, ReviewedStatement
from corral.server.application.review.rules import finding_of
from corral.server.infrastructure.review.findings import expression_findings
from corral.server.infrastructure.review.split import DIALECTS, Piece

_READS: Final = frozenset(
    {"SHOW", "EXPLAIN", "DESCRIBE", "DESC", "USE", "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"}
)
_READS_TOO: Final = frozenset({"SAVEPOINT", "RELEASE", "TABLE", "VALUES", "CHECKSUM", "EXISTS", "FETCH", "CLOSE"})
_GRANTS: Final = frozenset({"USER", "ROLE", "GROUP", "OWNED", "PASSWORD"})
_TRANSACTION: Final = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"})
_CLIENT: Final = frozenset({"DELIMITER", "GO", "SOURCE", "\\", "\\C", "\\D", "\\I", "\\G"})
_SERVER: Final = frozenset({("ALTER", "SYSTEM"), ("SET", "GLOBAL"), ("SET", "PERSIST")})
_INTO_FILE: Final = frozenset({("INTO", "OUTFILE"), ("INTO", "DUMPFILE")})
_LEXING: Final = ("SQL_MODE", "STANDARD_CONFORMING_STRINGS", "BACKSLASH_QUOTE")
_NO_STATEMENT: Final = "it is no statement"
_MARKS: Final = ("/*!", "/*M!")


@dataclass
class _Verdict:
    verb: str
    findings: list[Finding] = field(default_factory=list)
    tables: tuple[str, ...] = ()
    changes: bool = True

    def add(self, rule: str, message: str) -> None:
        self.findings.append(finding_of(rule, message))


def judge(engine: str, piece: Piece) -> ReviewedStatement:
    """Never raises for anything a text can be."""
    words = piece.words
    verdict = _Verdict(verb=words[0] if words else "")
    if piece.cause:
        verdict.add("unparsable", f"the parser cannot read it: {piece.cause[:200]}")
    elif not _by_words(verdict, piece):
        _by_parser(engine, verdict, piece)
    if any(pair in _INTO_FILE for pair in itertools.pairwise(words)):
        verdict.changes = True
        verdict.add("server_file", "INTO OUTFILE writes a file on the database's machine")
    _comments(engine, verdict, piece)
    if words[:1] == ["SET"] and any(name in piece.text.upper() for name in _LEXING):
        verdict.add(
            "lexing", "it changes how the statements behind it are read, and they were reviewed by the usual rules"
        )
    if references(piece.text):
        verdict.add("secret_text", "a secret becomes part of it, and nobody here can see what it says then")
    return ReviewedStatement(
        text=piece.text,
        verb=verdict.verb,
        tables=verdict.tables,
        findings=tuple(verdict.findings),
        changes=verdict.changes,
    )


def _by_words(verdict: _Verdict, piece: Piece) -> bool:
    """Judge what its first words say enough about; False when the parser has to look."""
    words = [*piece.words, "", "", ""]
    first, second = words[0], words[1]
    if not piece.words:
        return True  # a comment that is executed: found by _comments
    if first in _CLIENT or piece.text.startswith("\\"):
        verdict.add("client_command", f"{piece.text.split()[0]} is for a client program")
    elif first == "BEGIN" and second == "NOT":
        verdict.verb = "BEGIN NOT ATOMIC"
        verdict.add("block", "an anonymous block may do anything")
    elif first == "DO":
        verdict.add("block", "DO runs code of its own")
    elif first == "CALL":
        verdict.add("call", "CALL runs a stored procedure")
    elif first in {"GRANT", "REVOKE"} or (first in {"CREATE", "ALTER", "DROP", "RENAME", "SET"} and second in _GRANTS):
        verdict.verb = first if first in {"GRANT", "REVOKE"} else f"{first} {second}"
        verdict.add("grant", f"{verdict.verb} changes who may do what")
    elif first == "LOAD" and second in {"DATA", "XML"}:
        verdict.verb = f"LOAD {second}"
        verdict.add("server_file", f"LOAD {second} reads a file")
    elif (first, second) in _SERVER or first in {"SYSTEM", "KILL"}:
        verdict.verb = f"{first} {second}" if (first, second) in _SERVER else first
        verdict.add("server_setting", f"{verdict.verb} is for the whole server")
    elif first in _TRANSACTION:
        verdict.changes = False
        verdict.add("transaction", f"{first} is kept: the statements run in one session")
    elif first == "SET" and second in {"SESSION", "TRANSACTION", "LOCAL", "CONSTRAINTS"}:
        verdict.add("session_setting", f"SET {second} holds for the rest of the task")
    else:
        return False
    return True


def _by_parser(engine: str, verdict: _Verdict, piece: Piece) -> None:
    from sqlglot import exp

    text, explains, runs = _inner(piece)
    expression, cause = _parse(engine, text)
    if expression is None and DIALECTS[engine] == "mysql" and "%s" in text:
        # placeholders of the driver, which the server never sees; in a string they make no difference here
        expression, cause = _parse(engine, text.replace("%%", "%").replace("%s", "?"))
    if expression is None:
        if explains and not runs and cause == _NO_STATEMENT:  # DESCRIBE t
            verdict.changes = False
            return
        verdict.add("unparsable", f"the parser cannot read it: {cause}")
        return
    verdict.tables = _tables(expression)
    if isinstance(expression, exp.Command):
        first = piece.words[0]
        if first in _READS | _READS_TOO and not runs:
            verdict.changes = False
            return
        verdict.add("command", f"the parser knows {first} by its first word only")
        return
    if explains and not runs:
        verdict.changes = False
        return
    found, changes = expression_findings(expression)
    if piece.words[0] == "REPLACE":
        verdict.add("replace_rows", "REPLACE deletes the rows whose key it finds")
    verdict.findings.extend(found)
    verdict.changes = changes


def _inner(piece: Piece) -> tuple[str, bool, bool]:
    """What is left to parse: (text, it is explained, it is carried out while being explained)."""
    text, words = piece.text, piece.words
    if words[0] == "REPLACE" and len(words) > 1 and words[1] != "(":
        at = text.upper().index("REPLACE")
        return text[:at] + "INSERT" + text[at + len("REPLACE") :], False, False
    if words[0] not in {"EXPLAIN", "DESCRIBE", "DESC"}:
        return text, False, False
    # the lexer reads what follows EXPLAIN as one text: it is cut by hand, and what is not understood counts as run
    rest = text[text.upper().index(words[0]) + len(words[0]) :].strip()
    runs = False
    if rest.startswith("("):
        options, _, rest = rest[1:].partition(")")
        runs = "ANALYZE" in options.upper() or "ANALYSE" in options.upper()
    while rest[:1].isalpha() and (word := rest.split(None, 1)[0].upper()).partition("=")[0] in _EXPLAIN_WORDS:
        runs = runs or word in {"ANALYZE", "ANALYSE"}
        rest = rest.split(None, 1)[1] if len(rest.split(None, 1)) > 1 else ""
    return rest or text, True, runs or rest[:1] in {"/", "-", "#"}


_EXPLAIN_WORDS: Final = frozenset(
    {
        "ANALYZE",
        "ANALYSE",
        "VERBOSE",
        "EXTENDED",
        "PARTITIONS",
        "FORMAT",
        "PLAN",
        "AST",
        "SYNTAX",
        "PIPELINE",
        "ESTIMATE",
    }
)


def _parse(engine: str, text: str) -> tuple[Any, str]:
    """(the one expression, "") or (None, why not)."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        found = [one for one in sqlglot.parse(text, dialect=DIALECTS[engine]) if one is not None]
    except (SqlglotError, RecursionError, ValueError, IndexError, KeyError, AttributeError, TypeError) as error:
        words = str(error).splitlines() or [type(error).__name__]
        return None, words[0][:200]
    if len(found) != 1:
        return None, f"it sees {len(found)} statements in one"
    if not isinstance(found[0], (exp.Query, exp.DML, exp.DDL, exp.Command, *_statements())):
        return None, _NO_STATEMENT
    return found[0], ""


def _statements() -> tuple[type, ...]:
    """Classes of sqlglot that stand for a whole statement besides queries, DML and DDL."""
    from sqlglot import exp

    names = (
        "Alter Analyze Attach Comment Copy Describe Detach Drop Grant Revoke Kill LoadData Merge Pragma Set Show "
        "Transaction Commit Rollback TruncateTable Use Values Delete Update Insert Create Cache Uncache Refresh Lock"
    )
    return tuple(getattr(exp, name) for name in names.split() if hasattr(exp, name))


def _tables(expression: Any) -> tuple[str, ...]:
    """The tables it names, without those that WITH made, sorted."""
    from sqlglot import exp

    made = {cte.alias_or_name.lower() for cte in expression.find_all(exp.CTE)}
    names = {".".join(part.name for part in table.parts) for table in expression.find_all(exp.Table) if table.name}
    return tuple(sorted(name for name in names if name.lower() not in made))


def _comments(engine: str, verdict: _Verdict, piece: Piece) -> None:
    if DIALECTS[engine] != "mysql":
        return
    for kind in _found(piece):
        verdict.changes = True
        if kind == "executable_comment":
            verdict.add(
                kind, "MySQL executes the text of /*! … */, and nobody here can see what it says to which version"
            )
        else:
            verdict.add(kind, "MySQL does not take this -- for a comment")


def _found(piece: Piece) -> Iterator[str]:
    if any(mark in comment for comment in piece.comments for mark in _MARKS):
        yield "executable_comment"
    if any(comment.startswith("--") and comment[2:3] > " " for comment in piece.comments):
        yield "ambiguous_comment"
