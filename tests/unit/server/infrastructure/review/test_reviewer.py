"""The reviewer's child: what it costs, and what a text that is made to hurt can do."""

from __future__ import annotations

import sys

import pytest

from corral.domain.errors import Invalid, TooLarge, Unavailable
from corral.server.application.ports.review import Level
from corral.server.infrastructure.review.reviewer import ChildReviewer


async def test_texts_become_statements_with_their_findings() -> None:
    review = await ChildReviewer().review("postgres", ["select 1; delete from t", "drop table t"])
    assert [one.text for one in review.statements] == ["select 1", "delete from t", "drop table t"]
    assert [[finding.rule for finding in one.findings] for one in review.statements] == [
        [],
        ["missing_where"],
        ["drop"],
    ]
    assert review.worst() is Level.APPROVAL
    assert review.statements[1].tables == ("t",)
    assert [one.changes for one in review.statements] == [False, True, True]


async def test_the_same_text_is_judged_once() -> None:
    reviewer = ChildReviewer()
    first = await reviewer.review("mysql", ["select 1"])
    assert await reviewer.review("mysql", ["select 1"]) is first


async def test_an_unknown_engine_and_a_text_that_is_too_long_are_refused() -> None:
    with pytest.raises(Invalid, match="engine 'oracle'"):
        await ChildReviewer().review("oracle", ["select 1"])
    with pytest.raises(TooLarge):
        await ChildReviewer().review("postgres", ["x" * 65537])


@pytest.mark.parametrize(
    "text",
    [
        "select " + "(" * 60000 + "1",
        "select " + "not " * 16000 + "true",
        "select " + "- " * 30000 + "1",
        "select " + "case when a then " * 2500 + "1" + " end" * 2500,
        "select " + "a." * 30000 + "b",
        "select " + "f(" * 95 + "1" + ")" * 95,
        "select 1" + "::int" * 10000,
        "select 1;" * 7000,
        "'" * 65001,
    ],
    ids=["brackets", "not", "minus", "case", "dots", "calls", "casts", "statements", "quotes"],
)
async def test_a_bomb_is_judged_or_refused_and_hurts_nobody(text: str) -> None:
    reviewer = ChildReviewer()
    for engine in ("postgres", "mysql", "clickhouse"):
        try:
            review = await reviewer.review(engine, [text])
        except Invalid as error:
            assert error.message.startswith("cannot review")
        else:
            assert len(review.statements) == 1
    assert (await reviewer.review("postgres", ["select 1"])).worst() is Level.OFF


async def test_a_child_that_takes_too_long_is_ended() -> None:
    endless = ChildReviewer(program=(sys.executable, "-c", "while True: pass"), wait_seconds=0.3)
    with pytest.raises(Invalid, match="the parser gave up on it"):
        await endless.review("postgres", ["select 1"])


async def test_a_server_without_the_parser_says_what_to_install() -> None:
    script = "import sys; sys.modules['sqlglot'] = None; import sqlglot"
    bare = ChildReviewer(
        program=(
            sys.executable,
            "-c",
            script.replace("import sqlglot", "raise ModuleNotFoundError(\"No module named 'sqlglot'\")"),
        )
    )
    with pytest.raises(Unavailable, match="sqlglot is not installed"):
        await bare.review("postgres", ["select 1"])
