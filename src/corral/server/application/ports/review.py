"""Ports of the review of SQL: what a reviewer finds in a text before it is submitted, and the rules of an environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from corral.server.application.ports.access import Caller


class Level(StrEnum):
    """What a finding does: note and warning are shown, approval makes the job wait for a second person, error refuses it."""

    OFF = "off"
    NOTE = "note"
    WARNING = "warning"
    APPROVAL = "approval"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing about one statement; `rule` is a name of application/review/rules.py."""

    rule: str
    level: Level
    message: str
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class ReviewedStatement:
    """`text` is the statement as it will be sent; `changes` is True unless it is known to only read."""

    text: str
    verb: str
    tables: Sequence[str] = ()
    findings: Sequence[Finding] = ()
    changes: bool = True


@dataclass(frozen=True, kw_only=True)
class Review:
    statements: Sequence[ReviewedStatement]

    def worst(self) -> Level:
        """The highest level of all findings; OFF when there is none."""
        levels = list(Level)
        found = [levels.index(finding.level) for one in self.statements for finding in one.findings]
        return levels[max(found, default=0)]


class SqlReviewer(Protocol):
    async def review(self, engine: str, texts: Sequence[str]) -> Review:
        """Split the texts and judge each statement by the default levels.

        Raises Invalid for an engine nobody can read, TooLarge, and Invalid for a text that takes too long to read.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ReviewSettings:
    """How the SQL of one connection is judged: the engine that will read it and the levels its owner changed (rule → level)."""

    engine: str
    levels: Mapping[str, str] = field(default_factory=dict)


class ReviewConnections(Protocol):
    """What the review needs to know of stored connections."""

    async def review_settings(self, caller: Caller, connection: str) -> ReviewSettings | None:
        """None when there is no such connection, or the caller may not use it: then the guard leaves the answer to others."""
        ...
