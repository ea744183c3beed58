"""The review of SQL over REST: the same judgement a submission gets, without submitting anything."""

from __future__ import annotations

from typing import Final

import msgspec

from corral.server.application.ports.access import Caller
from corral.server.application.ports.review import Level, Review
from corral.server.application.review.room import SqlReview
from corral.server.interface.rest.envelope import Envelope, ok
from corral.server.interface.rest.route import Route

TAGS: Final = ("sql",)


class ReviewBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`connection` gives the engine and the levels of its rules; `engine` (postgres, mysql, mariadb, clickhouse) suffices."""

    sql: str
    engine: str | None = None
    connection: str | None = None
    read_only: bool = False


class FindingView(msgspec.Struct, kw_only=True):
    """`level`: note and warning are shown, approval makes a job wait, error refuses it."""

    rule: str
    level: Level
    message: str
    hint: str


class StatementView(msgspec.Struct, kw_only=True):
    """`changes`: false only for what is known to read."""

    number: int
    text: str
    verb: str
    tables: list[str]
    changes: bool
    findings: list[FindingView]


class ReviewView(msgspec.Struct, kw_only=True):
    """`worst` is the highest level found, `off` when nothing was."""

    worst: Level
    statements: list[StatementView]


async def review(sql_review: SqlReview, caller: Caller, data: ReviewBody) -> Envelope[ReviewView]:
    """Split and judge a text of SQL. Nothing is run and nothing is stored."""
    found = await sql_review.review(
        caller, sql=data.sql, engine=data.engine, connection=data.connection, read_only=data.read_only
    )
    return ok(review_view(found))


def review_view(review: Review) -> ReviewView:
    return ReviewView(
        worst=review.worst(),
        statements=[
            StatementView(
                number=number,
                text=one.text,
                verb=one.verb,
                tables=list(one.tables),
                changes=one.changes,
                findings=[
                    FindingView(rule=f.rule, level=f.level, message=f.message, hint=f.hint) for f in one.findings
                ],
            )
            for number, one in enumerate(review.statements, 1)
        ],
    )


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="POST",
        path="/sql/review",
        permission="sql.run",
        handler=review,
        summary="Review SQL without running it",
        tags=TAGS,
    ),
)
