"""The rules of the review of SQL: what each is about and how severe it is unless a connection says otherwise.

A connection changes levels with its option `review`, a table of rule → level (off, note, warning, approval, error), so that production is
stricter than a test database. What a read-only task may not do is not negotiable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from corral.domain.errors import Invalid
from corral.server.application.ports.review import Finding, Level, Review, ReviewSettings

READ_ONLY: Final = "read_only"


@dataclass(frozen=True)
class Rule:
    """`hint` is the remedy that is shown with a finding."""

    level: Level
    about: str
    hint: str = ""


RULES: Final[Mapping[str, Rule]] = {
    "missing_where": Rule(
        Level.APPROVAL, "UPDATE or DELETE without a condition", "add a WHERE that names the rows you mean"
    ),
    "drop": Rule(Level.APPROVAL, "DROP of anything, a column too", "a backup first? there is no way back"),
    "truncate": Rule(Level.APPROVAL, "TRUNCATE", "a backup first? there is no way back"),
    "alter": Rule(
        Level.WARNING, "ALTER of a table", "on a large table this can lock or rewrite it: try --explain or a quiet hour"
    ),
    "grant": Rule(Level.APPROVAL, "GRANT, REVOKE, users and roles"),
    "unparsable": Rule(Level.APPROVAL, "a statement the parser cannot read", "check it against the engine's grammar"),
    "command": Rule(Level.APPROVAL, "a statement the parser knows by its first word only"),
    "call": Rule(Level.APPROVAL, "CALL of a procedure", "nobody here can see what it does"),
    "block": Rule(Level.APPROVAL, "an anonymous block (DO, BEGIN NOT ATOMIC)", "nobody here can see what it does"),
    "routine": Rule(Level.APPROVAL, "a function, procedure, trigger or event is made", "its body is not reviewed"),
    "program": Rule(
        Level.ERROR, "COPY … PROGRAM starts a program on the database's machine", "run it with 'corral exec run'"
    ),
    "server_file": Rule(
        Level.APPROVAL, "reads or writes files of the database's machine (COPY, LOAD DATA, INTO OUTFILE)"
    ),
    "function": Rule(Level.APPROVAL, "a function that does more than compute"),
    "slow_function": Rule(Level.WARNING, "a function that only waits"),
    "server_setting": Rule(Level.APPROVAL, "a setting of the whole server"),
    "session_setting": Rule(Level.NOTE, "a setting of the session"),
    "transaction": Rule(Level.NOTE, "BEGIN, COMMIT, ROLLBACK", "without them each statement commits by itself"),
    "executable_comment": Rule(
        Level.APPROVAL, "a comment that MySQL and MariaDB execute (/*! … */)", "write it without the comment"
    ),
    "ambiguous_comment": Rule(
        Level.APPROVAL, "-- is a comment for MySQL only before a blank of ASCII", "put a blank after --"
    ),
    "client_command": Rule(
        Level.ERROR, "a command of a client program (\\d, DELIMITER, GO)", "leave it out: no client program runs here"
    ),
    "cte_write": Rule(Level.WARNING, "a write inside WITH", "it changes rows although it reads like a query"),
    "select_into": Rule(Level.WARNING, "SELECT … INTO makes a table"),
    "replace_rows": Rule(Level.NOTE, "REPLACE deletes the rows it replaces"),
    "lexing": Rule(
        Level.APPROVAL,
        "SET of how later statements are read (sql_mode, standard_conforming_strings)",
        "the review read them by the usual rules",
    ),
    "secret_text": Rule(
        Level.APPROVAL,
        "a secret in the text: it becomes SQL after the review",
        "bind it: a placeholder and --arg '{{ secret.NAME }}'",
    ),
    "select_star": Rule(Level.NOTE, "SELECT *", "name the columns you need"),
    "cross_join": Rule(Level.WARNING, "tables joined without a condition", "every row is paired with every row"),
    "limit_order": Rule(Level.NOTE, "LIMIT without ORDER BY", "which rows come is up to the database"),
    "insert_columns": Rule(
        Level.NOTE, "INSERT without a list of columns", "it breaks when a column is added to the table"
    ),
    READ_ONLY: Rule(
        Level.ERROR,
        "a statement that may change something in a read-only task",
        "leave --read-only out, or the statement",
    ),
}


def check_levels(levels: Mapping[str, Any], element: str = "options.review") -> dict[str, Level]:
    """A connection's option `review` as levels; raises Invalid naming the rule or the level that does not exist."""
    out = {}
    for rule, level in levels.items():
        if rule not in RULES or rule == READ_ONLY:
            raise Invalid(
                f"cannot set the level of {str(rule)[:40]!r}: there is no such rule",
                element=element,
                hint=f"one of {', '.join(sorted(set(RULES) - {READ_ONLY}))}",
            )
        if level not in list(Level):
            raise Invalid(
                f"cannot set {rule} to {str(level)[:40]!r}: expected one of {', '.join(Level)}",
                element=f"{element}.{rule}",
            )
        out[rule] = Level(level)
    return out


def judged(review: Review, settings: ReviewSettings, *, read_only: bool) -> Review:
    """The review by the levels of a connection; in a read-only task what may change something is an error."""
    levels = check_levels(settings.levels)
    statements = []
    for one in review.statements:
        findings = [replace(finding, level=levels.get(finding.rule, finding.level)) for finding in one.findings]
        if read_only and one.changes:
            findings.append(
                finding_of(READ_ONLY, f"{one.verb or 'it'} may change something, and the task is read-only")
            )
        shown = [finding for finding in findings if finding.level is not Level.OFF]
        statements.append(replace(one, findings=tuple(shown)))
    return Review(statements=tuple(statements))


def finding_of(rule: str, message: str) -> Finding:
    """A finding at the rule's own level."""
    return Finding(rule=rule, level=RULES[rule].level, message=message, hint=RULES[rule].hint)
