"""The review as its callers use it: a step that completes a submission, a guard of submissions, a question over REST.

`SqlReview.complete` is a jobs' Complete, `ReviewGuard` a SubmissionGuard; both leave every other kind alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from corral.domain.errors import Invalid
from corral.domain.executors.clickhouse import KIND as CLICKHOUSE
from corral.domain.executors.mysql import KIND as MYSQL
from corral.domain.executors.postgres import KIND as POSTGRES
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.executors.sqltask import SCHEMA, more, texts
from corral.domain.job import JobSpec
from corral.domain.schema import check
from corral.server.application.ports.access import Caller
from corral.server.application.ports.guards import Hold
from corral.server.application.ports.review import (
    Finding,
    Level,
    Review,
    ReviewConnections,
    ReviewSettings,
    SqlReviewer,
)
from corral.server.application.review.rules import judged

SQL_KINDS: Final = frozenset(kind.name for kind in (POSTGRES, MYSQL, CLICKHOUSE))
HOLD: Final = "sql"
ROLLED_BACK: Final = frozenset({"missing_where", "drop", "truncate", "alter", "grant", "routine"})
"""Rules about what a dry run takes back: trying it needs nobody's approval."""


def sql_spec(spec: JobSpec) -> ExecutorSpec | None:
    """What it runs, when that is SQL."""
    return spec.command if isinstance(spec.command, ExecutorSpec) and spec.kind in SQL_KINDS else None


async def complete_sql(reviewer: SqlReviewer, spec: JobSpec) -> JobSpec:
    """`params.sql` becomes `params.statements`; statements a caller split himself are split again. Raises Invalid, TooLarge."""
    command = sql_spec(spec)
    if command is None:
        return spec
    review = await reviewer.review(command.kind, texts(command.params))
    _check_some(review)
    params = {name: value for name, value in command.params.items() if name != "sql"}
    params["statements"] = [one.text for one in review.statements]
    check(SCHEMA, params)
    more(params)
    return replace(spec, command=replace(command, params=params))


class SqlReview:
    """`connections` is None where no connections are stored: then the engine is the kind's own and no level is changed."""

    def __init__(self, *, reviewer: SqlReviewer, connections: ReviewConnections | None = None) -> None:
        self._reviewer = reviewer
        self._connections = connections

    async def complete(self, caller: Caller, spec: JobSpec) -> JobSpec:
        return await complete_sql(self._reviewer, spec)

    async def review(
        self,
        caller: Caller,
        *,
        sql: str,
        engine: str | None = None,
        connection: str | None = None,
        read_only: bool = False,
    ) -> Review:
        """Raises Invalid, TooLarge; NotFound is for who runs it."""
        settings = await self.settings(caller, connection)
        if engine is None and settings is None:
            raise Invalid(
                f"cannot review SQL for connection {connection!r}: there is none of this name that you may use"
                if connection
                else "cannot review SQL of an unknown engine",
                element="connection" if connection else "engine",
                hint="name the engine: --engine postgres, mysql, mariadb or clickhouse",
            )
        if settings is None or (engine is not None and engine != settings.engine):
            settings = ReviewSettings(engine=engine or "", levels={} if settings is None else settings.levels)
        return await self.judge(settings, [sql], read_only=read_only)

    async def settings(self, caller: Caller, connection: str | None) -> ReviewSettings | None:
        if self._connections is None or connection is None:
            return None
        return await self._connections.review_settings(caller, connection)

    async def judge(self, settings: ReviewSettings, sql: Sequence[str], *, read_only: bool) -> Review:
        return judged(await self._reviewer.review(settings.engine, sql), settings, read_only=read_only)


class ReviewGuard:
    """SubmissionGuard of the SQL kinds: an error refuses the job, what needs approval makes it wait."""

    def __init__(self, review: SqlReview) -> None:
        self._review = review

    async def check(self, caller: Caller, spec: JobSpec, nodes: Sequence[str]) -> Hold | None:
        command = sql_spec(spec)
        if command is None:
            return None
        if command.dry_run and command.kind == CLICKHOUSE.name:
            raise Invalid(
                "cannot try SQL on ClickHouse: it has no transaction to roll back",
                element="dry_run",
                hint="--explain shows what a query would read",
            )
        settings = await self._review.settings(caller, command.connection) or ReviewSettings(engine=command.kind)
        explains = command.params.get("mode") == "explain"
        read_only = bool(command.params.get("read_only")) and not explains
        review = await self._review.judge(settings, texts(command.params), read_only=read_only)
        _check_some(review)
        _refuse(review)
        waits = [] if explains else _approvals(review, command)
        if not waits:
            return None
        number, finding = waits[0]
        others = f" (and {len(waits) - 1} more)" if len(waits) > 1 else ""
        return Hold(kind=HOLD, why=f"statement {number}: {finding.message} [{finding.rule}]{others}")


def _check_some(review: Review) -> None:
    if not review.statements:
        raise Invalid("cannot run SQL: there is no statement in it", element="params.sql")


def _refuse(review: Review) -> None:
    for number, one in enumerate(review.statements, 1):
        for finding in one.findings:
            if finding.level is Level.ERROR:
                raise Invalid(
                    f"cannot run statement {number}: {finding.message} [{finding.rule}]",
                    element=finding.rule,
                    hint=finding.hint or None,
                )


def _approvals(review: Review, command: ExecutorSpec) -> list[tuple[int, Finding]]:
    taken_back = ROLLED_BACK if command.dry_run else frozenset[str]()
    return [
        (number, finding)
        for number, one in enumerate(review.statements, 1)
        for finding in one.findings
        if finding.level is Level.APPROVAL and finding.rule not in taken_back
    ]
