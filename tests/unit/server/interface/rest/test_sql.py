"""The review over HTTP: what a body may hold and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from corral.domain.errors import Invalid
from corral.server.application.ports.access import Caller
from corral.server.application.ports.review import Review, ReviewedStatement, SqlReviewer
from corral.server.application.review.room import SqlReview
from corral.server.application.review.rules import finding_of
from corral.server.interface.rest import sql


class Reading(SqlReviewer):
    async def review(self, engine: str, texts: Sequence[str]) -> Review:
        found = (finding_of("drop", f"{engine} would drop it"),)
        return Review(statements=(ReviewedStatement(text=texts[0], verb="DROP", tables=("t",), findings=found),))


async def ask(**body: Any) -> Any:
    data = msgspec.convert(body, sql.ReviewBody)
    answer = await sql.review(SqlReview(reviewer=Reading()), Caller(name="ana"), data)
    return msgspec.to_builtins(answer)["data"]


async def test_a_review_comes_back_with_its_worst_level_and_every_statement() -> None:
    assert await ask(sql="drop table t", engine="mysql") == {
        "worst": "approval",
        "statements": [
            {
                "number": 1,
                "text": "drop table t",
                "verb": "DROP",
                "tables": ["t"],
                "changes": True,
                "findings": [
                    {
                        "rule": "drop",
                        "level": "approval",
                        "message": "mysql would drop it",
                        "hint": "a backup first? there is no way back",
                    }
                ],
            }
        ],
    }


async def test_a_read_only_review_refuses_what_changes() -> None:
    found = await ask(sql="drop table t", engine="mysql", read_only=True)
    assert found["worst"] == "error"
    assert found["statements"][0]["findings"][-1]["rule"] == "read_only"


async def test_without_an_engine_it_says_which_there_are() -> None:
    with pytest.raises(Invalid, match="unknown engine"):
        await ask(sql="select 1")


def test_the_row_needs_the_permission_to_run_sql() -> None:
    (row,) = sql.ROUTES
    assert (row.method, row.path, row.permission) == ("POST", "/sql/review", "sql.run")
