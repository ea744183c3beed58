"""The review and the database agree on where statements end: texts of random parts, split here and run as one text there.

A server that takes several statements in one text (PostgreSQL's simple protocol, MariaDB with MULTI_STATEMENTS) answers each of them; the
number of answers is the number of statements it saw. No child is involved: tasks never send more than one.
"""

from __future__ import annotations

import contextlib
import random
from typing import Any

import psycopg
import pymysql
import pytest
from pymysql.constants import CLIENT

from corral.server.infrastructure.review.split import split

TEXTS = 400
SHARED = [
    "select 1",
    "select 'a;b'",
    "select 'it''s; fine'",
    "select 1 /* ; */",
    "/* ; select 9; */ select 2",
    "-- ; select 9;\nselect 3",
    "select 4 -- ;",
    "select case when 1 = 1 then ';' else 'end;' end",
    "select ('begin;')",
    "",
    " \n\t",
]
POSTGRES = [
    *SHARED,
    "select $$a;b$$",
    "select $x$a;$$;b$x$",
    "select $x1$ ; $x$ ; $x1$",
    "select E'a\\';b'",
    "select E'\\\\'",
    "select '\\'",
    'select "a;b" from (select 1 as "a;b") x',
    "select U&'d\\0061t;a'",
    "select /* a /* ; */ ; */ 5",
    "select 6 /* /* */ */",
    "select 'a'\n'b;c'",
    "select 1 as begin",
    "select B'01', X'1F'",
    "do $$ begin perform 1; perform 2; end $$",
    "select 7 --;\n + 1",
]
MARIADB = [
    *SHARED,
    "select 'a\\';b'",
    'select "a;b"',
    'select "a"";b"',
    "select `a;b` from (select 1 as `a;b`) x",
    "select 5 # ; select 9;",
    "# ;\nselect 6",
    "select 5--1",
    "select 'a\\\\'",
    "select /* a /* ; */ 7",
    "select 8 /*! + 1 */",
    "select x'1f', b'01', N'a;'",
    "select 'a' 'b;c'",
]


def texts(parts: list[str], seed: int) -> list[str]:
    chosen = random.Random(seed)
    return [
        "".join(
            chosen.choice(parts) + chosen.choice(["\n;", "\n;\n", "\n; ;", "\n/* ; */ ;"])
            for _ in range(chosen.randint(1, 5))
        )
        for _ in range(TEXTS)
    ]


@pytest.mark.postgres
def test_postgresql_sees_the_statements_that_the_review_sees(pg: Any) -> None:
    given = pg.connection
    with psycopg.connect(host=given["host"], dbname=given["database"], user="corral", autocommit=True) as connection:
        for text in texts(POSTGRES, 12):
            pieces = split("postgres", text)
            cursor = connection.execute(text.encode())
            answers = 0 if cursor.pgresult is None or cursor.statusmessage in (None, "") else 1
            while cursor.nextset():
                answers += 1
            assert answers == len(pieces), (text, pieces)
            for piece in pieces:
                connection.execute(piece.text.encode(), prepare=True)


@pytest.mark.mariadb
def test_mariadb_sees_the_statements_that_the_review_sees(my: Any) -> None:
    given = my.connection
    words = {"unix_socket": given["host"], "database": given["database"], "user": "root"}
    several = pymysql.connect(**words, client_flag=CLIENT.MULTI_STATEMENTS)
    single = pymysql.connect(**words)
    with contextlib.closing(several), contextlib.closing(single), several.cursor() as all_of_it, single.cursor() as one:
        for text in texts(MARIADB, 12):
            pieces = split("mariadb", text)
            # this server refuses an empty statement between two others: only what has words is sent
            joined = "\n;\n".join(piece.text for piece in pieces)
            if not pieces:
                continue
            all_of_it.execute(joined)
            answers = 1
            while all_of_it.nextset():
                answers += 1
            assert answers == len(pieces), (text, pieces)
            for piece in pieces:
                one.execute(piece.text)
