"""SQL: review a text, or run it on nodes over a stored connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from corral.sdk.api import Api
from corral.sdk.jobs import JobHandle, Jobs, KindTask

KIND_OF: Final[Mapping[str, str]] = {
    "postgres": "postgres",
    "mysql": "mysql",
    "mariadb": "mysql",
    "clickhouse": "clickhouse",
}
"""Engine of a connection → the kind of task that speaks to it."""
_BAD: Final = ("approval", "error")


@dataclass(frozen=True, kw_only=True)
class SqlFinding:
    """`level`: note and warning are shown, approval makes a job wait, error refuses it."""

    rule: str
    level: str
    message: str
    hint: str


@dataclass(frozen=True, kw_only=True)
class SqlStatement:
    number: int
    text: str
    verb: str
    tables: Sequence[str]
    changes: bool
    findings: Sequence[SqlFinding]


@dataclass(frozen=True, kw_only=True)
class SqlReview:
    worst: str
    statements: Sequence[SqlStatement]
    raw: Mapping[str, Any]

    @property
    def clean(self) -> bool:
        """Nothing in it is refused or has to wait."""
        return self.worst not in _BAD

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SqlReview:
        statements = [
            SqlStatement(
                number=row["number"],
                text=row["text"],
                verb=row["verb"],
                tables=tuple(row["tables"]),
                changes=row["changes"],
                findings=tuple(
                    SqlFinding(rule=f["rule"], level=f["level"], message=f["message"], hint=f["hint"])
                    for f in row["findings"]
                ),
            )
            for row in data["statements"]
        ]
        return cls(worst=data["worst"], statements=statements, raw=data)


class Sql:
    """`fleet.sql`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def review(
        self, sql: str, *, engine: str | None = None, connection: str | None = None, read_only: bool = False
    ) -> SqlReview:
        """What a submission of this text would meet; nothing runs. Raises Invalid, TooLarge."""
        body = {"sql": sql, "engine": engine, "connection": connection, "read_only": read_only or None}
        given = {key: value for key, value in body.items() if value is not None}
        return SqlReview.from_json(await self._api.call("POST", "/sql/review", body=given))

    async def submit(self, sql: str, *, on: str, connection: str, engine: str, **options: Any) -> JobHandle:
        """Run SQL on the nodes `on` selects. `options`: params (read_only, row_cap, format, mode, …) and KindTask's limits."""
        return await Jobs(self._api).submit(sql_task(sql, on=on, connection=connection, engine=engine, **options))


def sql_task(sql: str, *, on: str, connection: str, engine: str, **options: Any) -> KindTask:
    """The submission of a text of SQL."""
    limits = {name: options.pop(name) for name in tuple(options) if name in KindTask.__dataclass_fields__}
    params = {"sql": sql, **{name: value for name, value in options.items() if value is not None}}
    return KindTask(target=on, kind=KIND_OF.get(engine, engine), connection=connection, params=params, **limits)
