"""Completing, refusing and holding submissions of SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from corral.domain.errors import Invalid, NotFound
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.job import CommandSpec, JobSpec
from corral.server.application.ports.access import Caller
from corral.server.application.ports.review import Level, Review, ReviewedStatement, ReviewSettings, SqlReviewer
from corral.server.application.review.room import ReviewGuard, SqlReview
from corral.server.application.review.rules import RULES, check_levels, finding_of
from corral.server.application.review.stored import StoredReviewConnections, levels_of

ANA = Caller(name="ana")
WORDS = {"DROP": "drop", "DELETE": "missing_where", "COPY": "program", "CALL": "call", "*": "select_star"}


class Reading(SqlReviewer):
    """Splits at every semicolon and finds what WORDS say."""

    async def review(self, engine: str, texts: Sequence[str]) -> Review:
        pieces = [piece.strip() for text in texts for piece in text.split(";") if piece.strip()]
        return Review(
            statements=tuple(
                ReviewedStatement(
                    text=piece,
                    verb=piece.split()[0].upper(),
                    findings=tuple(
                        finding_of(rule, f"{word} found") for word, rule in WORDS.items() if word in piece.upper()
                    ),
                    changes=not piece.upper().startswith("SELECT"),
                )
                for piece in pieces
            )
        )


class Connections:
    def __init__(self, engine: str = "postgres", **levels: str) -> None:
        self.settings = ReviewSettings(engine=engine, levels=levels)

    async def review_settings(self, caller: Caller, connection: str) -> ReviewSettings | None:
        return self.settings if connection == "main" else None


def job(sql: str | Sequence[str], *, kind: str = "postgres", dry_run: bool = False, **params: Any) -> JobSpec:
    text: dict[str, Any] = {"sql": sql} if isinstance(sql, str) else {"statements": list(sql)}
    command = ExecutorSpec(kind=kind, params={**text, **params}, connection="main", dry_run=dry_run)
    return JobSpec(target="all", kind=kind, command=command)


def review(**levels: str) -> SqlReview:
    return SqlReview(reviewer=Reading(), connections=Connections(**levels))


async def held(spec: JobSpec, **levels: str) -> str | None:
    hold = await ReviewGuard(review(**levels)).check(ANA, spec, ["n1"])
    return None if hold is None else hold.why


async def test_sql_becomes_statements_and_every_other_param_stays() -> None:
    done = await review().complete(ANA, job("select 1; drop table t;", read_only=True, row_cap=5))
    assert isinstance(done.command, ExecutorSpec)
    assert done.command.params == {"statements": ["select 1", "drop table t"], "read_only": True, "row_cap": 5}


async def test_statements_that_a_caller_split_himself_are_split_again() -> None:
    done = await review().complete(ANA, job(["select 1; drop table t", "select 2"]))
    assert isinstance(done.command, ExecutorSpec)
    assert done.command.params["statements"] == ["select 1", "drop table t", "select 2"]
    assert await review().complete(ANA, done) == done


async def test_a_job_of_another_kind_is_left_alone() -> None:
    other = JobSpec(target="all", command=CommandSpec(argv=("drop", "table")))
    assert await review().complete(ANA, other) is other
    assert await held(other) is None


async def test_a_text_without_a_statement_is_refused() -> None:
    for ask in (review().complete(ANA, job(" ; ")), ReviewGuard(review()).check(ANA, job(" ; "), ["n1"])):
        with pytest.raises(Invalid, match="there is no statement"):
            await ask


async def test_arguments_belong_to_a_single_statement() -> None:
    with pytest.raises(Invalid, match="cannot bind arguments to 2 statements"):
        await review().complete(ANA, job("select 1; select 2", arguments=[1]))


async def test_what_only_reads_passes_and_notes_hold_nothing() -> None:
    assert await held(job("select * from t")) is None


async def test_approval_holds_and_names_statement_and_rule() -> None:
    assert await held(job("select 1; drop table t; call p()")) == "statement 2: DROP found [drop] (and 1 more)"


async def test_an_error_refuses_and_names_statement_rule_and_remedy() -> None:
    with pytest.raises(Invalid, match=r"cannot run statement 2: COPY found \[program\]") as caught:
        await held(job("drop table t; copy t to program 'x'"))
    assert caught.value.element == "program"
    assert caught.value.hint == RULES["program"].hint


async def test_a_read_only_task_may_not_change_anything() -> None:
    with pytest.raises(
        Invalid, match=r"statement 2: DELETE may change something, and the task is read-only \[read_only\]"
    ):
        await held(job("select 1; delete from t", read_only=True))
    assert await held(job("select 1", read_only=True)) is None
    assert await held(job("delete from t", read_only=True, mode="explain")) is None


async def test_a_connection_changes_the_levels() -> None:
    assert await held(job("drop table t"), drop="warning") is None
    assert await held(job("drop table t"), drop="off") is None
    assert await held(job("select * from t"), select_star="approval") == "statement 1: * found [select_star]"
    with pytest.raises(Invalid, match=r"\[drop\]"):
        await held(job("drop table t"), drop="error")


async def test_explaining_waits_for_nobody() -> None:
    assert await held(job("drop table t; call p()", mode="explain")) is None


async def test_a_dry_run_waits_only_for_what_cannot_be_taken_back() -> None:
    assert await held(job("drop table t; delete from t", dry_run=True)) is None
    assert await held(job("drop table t; call p()", dry_run=True)) == "statement 2: CALL found [call]"


async def test_clickhouse_has_no_dry_run() -> None:
    with pytest.raises(Invalid, match="no transaction to roll back"):
        await held(job("select 1", kind="clickhouse", dry_run=True))


async def test_without_stored_connections_the_kind_is_the_engine() -> None:
    guard = ReviewGuard(SqlReview(reviewer=Reading()))
    hold = await guard.check(ANA, job("drop table t", kind="mysql"), ["n1"])
    assert hold is not None
    assert hold.kind == "sql"


async def test_a_question_needs_an_engine_or_a_connection() -> None:
    found = await review(drop="note").review(ANA, sql="drop table t", connection="main")
    assert found.worst() is Level.NOTE
    assert (await review().review(ANA, sql="drop table t", engine="mysql")).worst() is Level.APPROVAL
    with pytest.raises(Invalid, match="unknown engine"):
        await review().review(ANA, sql="select 1")
    with pytest.raises(Invalid, match="connection 'nosuch'"):
        await review().review(ANA, sql="select 1", connection="nosuch")


def test_levels_of_a_connection_are_checked() -> None:
    assert levels_of({"review": {"drop": "error"}, "review.call": "off", "other": 1}) == {
        "drop": "error",
        "call": "off",
    }
    for wrong in ({"nosuch": "error"}, {"drop": "loud"}, {"read_only": "off"}):
        with pytest.raises(Invalid, match="cannot set"):
            check_levels(wrong)


async def test_stored_connections_give_their_engine_and_levels() -> None:
    class Found:
        engine = "mariadb"
        options: Mapping[str, Any] = {"review": {"drop": "note"}}

    class Store:
        async def get(self, name: str) -> Any:
            if name != "main":
                raise NotFound("no such connection")
            return Found()

    stored = StoredReviewConnections(Store())  # type: ignore[arg-type]  # only get is asked
    assert await stored.review_settings(ANA, "main") == ReviewSettings(engine="mariadb", levels={"drop": "note"})
    assert await stored.review_settings(ANA, "gone") is None
