"""Where statements end, engine by engine."""

from __future__ import annotations

import pytest

from corral.domain.errors import Invalid
from corral.server.infrastructure.review.split import split

CASES = [
    ("postgres", "select 1", ["select 1"]),
    ("postgres", "select 1;", ["select 1"]),
    ("postgres", ";; select 1 ;;; select 2;", ["select 1", "select 2"]),
    ("postgres", "-- only a comment\n; /* and ; another */", []),
    ("postgres", "select 'a;b', \"c;d\" -- e;f\n; select 2", ["select 'a;b', \"c;d\" -- e;f", "select 2"]),
    ("postgres", "select /* ; /* ; */ ; */ 1; select 2", ["select /* ; /* ; */ ; */ 1", "select 2"]),
    ("postgres", "select $$a;b$$, $x$c;$$;d$x$; select 2", ["select $$a;b$$, $x$c;$$;d$x$", "select 2"]),
    ("postgres", "select E'a\\';b'; select 2", ["select E'a\\';b'", "select 2"]),
    ("postgres", "select 'it''s; fine'; select 2", ["select 'it''s; fine'", "select 2"]),
    ("postgres", "do $$ begin delete from t; end $$; select 1", ["do $$ begin delete from t; end $$", "select 1"]),
    ("postgres", "begin; delete from t; commit", ["begin", "delete from t", "commit"]),
    ("postgres", "select 'é;𝄞'; select 'ü'", ["select 'é;𝄞'", "select 'ü'"]),
    (
        "postgres",
        "create function f() returns int begin atomic select 1; select 2; end; select 3",
        ["create function f() returns int begin atomic select 1; select 2; end", "select 3"],
    ),
    ("mysql", "select 'a\\';b', `c;d` # e;f\n; select 2", ["select 'a\\';b', `c;d` # e;f", "select 2"]),
    ("mysql", "select 1; /*! delete from t */; select 2", ["select 1", "/*! delete from t */", "select 2"]),
    ("mysql", "select 5--1; select 2", ["select 5--1", "select 2"]),
    (
        "mysql",
        "create procedure p() begin if x then update t set a = 1; end if; case x when 1 then select 1; end case; end; select 2",
        [
            "create procedure p() begin if x then update t set a = 1; end if; case x when 1 then select 1; end case; end",
            "select 2",
        ],
    ),
    ("mariadb", "begin not atomic delete from t; end; select 1", ["begin not atomic delete from t; end", "select 1"]),
    ("clickhouse", "insert into t values (1, ';'); select 1", ["insert into t values (1, ';')", "select 1"]),
]


@pytest.mark.parametrize(("engine", "text", "statements"), CASES, ids=[f"{c[0]}: {c[1][:60]}" for c in CASES])
def test_statements_end_where_the_engine_says(engine: str, text: str, statements: list[str]) -> None:
    assert [piece.text for piece in split(engine, text)] == statements


def test_what_the_lexer_cannot_read_stays_one_piece_with_its_cause() -> None:
    (piece,) = split("postgres", "select 1; select 'open; delete from t")
    assert piece.text == "select 1; select 'open; delete from t"
    assert piece.cause


def test_a_text_that_nests_too_deep_is_refused() -> None:
    with pytest.raises(Invalid, match="nests deeper than 100 brackets"):
        split("postgres", "select " + "(" * 101 + "1")
    assert len(split("postgres", "select '" + "(" * 200 + "'")) == 1
