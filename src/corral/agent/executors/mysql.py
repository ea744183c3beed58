"""Kind mysql: MySQL and MariaDB by pymysql, whose connections take one statement at a time (no MULTI_STATEMENTS).

Read-only: the session and a transaction per statement are READ ONLY, statements that could end it from inside are not sent, and it is
rolled back. Dry run: one transaction that is rolled back, only for statements and tables that can be. Otherwise each statement commits by
itself, unless the text says START TRANSACTION.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final

from corral.agent.executors.contract import BadParams, Failed, MissingDriver, Request, main, on_cancel
from corral.agent.executors.sqlrun import Answer, Refused, Rows, check_words, perform
from corral.agent.executors.sqltls import tls_of
from corral.domain.executors.mysql import KIND, READS, ROLLS_BACK
from corral.domain.executors.sqltask import EXECUTABLE_COMMENT, first_word, texts

PORT: Final = 3306
CONNECT_SECONDS: Final = 10
CANCEL_SECONDS: Final = 3
_NOT_ROLLED_BACK: Final = 1196
_IN_TRANSACTION: Final = 1
_EXPLAINED: Final = frozenset({"SELECT", "WITH", "TABLE", "VALUES", "INSERT", "UPDATE", "DELETE", "REPLACE"})
_LEXING_MODES: Final = frozenset(
    {"NO_BACKSLASH_ESCAPES", "ANSI_QUOTES", "ANSI", "DB2", "MAXDB", "MSSQL", "ORACLE", "POSTGRESQL"}
)
"""Modes that change where strings and names end, and those that stand for several with one of these."""
_UNTRANSACTIONAL: Final = """
    select table_schema, table_name from information_schema.tables
    where table_type = 'BASE TABLE' and engine not in ('InnoDB', 'ROCKSDB', 'TokuDB', 'NDBCLUSTER')
    and table_schema not in ('mysql', 'information_schema', 'performance_schema', 'sys')
"""


def run(request: Request) -> None:
    words = [first_word(text, hashes=True) for text in texts(request.params)]
    check_words(request, words, READS)
    for number, word in enumerate(words, 1):
        if request.dry_run and word not in ROLLS_BACK:
            shown = "a comment that MySQL executes" if word == EXECUTABLE_COMMENT else (word or "nothing")
            raise BadParams(
                f"cannot try statement {number}: MySQL commits {shown} by itself, or it might",
                element="params.sql",
                hint=f"a dry run takes {', '.join(sorted(ROLLS_BACK))}; --explain shows plans",
            )
    with _connected(request) as connection:
        session = _Session(request, connection)
        with session.around():
            perform(request, session)


@contextlib.contextmanager
def _connected(request: Request) -> Iterator[Any]:
    """A connection of pymysql whose query SIGTERM kills at the server. Raises Failed, MissingDriver."""
    connection = _open(request)
    number = int(connection.thread_id())
    on_cancel(lambda: _kill(request, number))
    try:
        yield connection
    finally:
        with contextlib.suppress(Exception):
            connection.close()


def _open(request: Request, seconds: int = CONNECT_SECONDS) -> Any:
    try:
        import pymysql
        from pymysql.constants import FIELD_TYPE
        from pymysql.converters import encoders
    except ImportError:
        raise MissingDriver(
            "cannot run mysql: pymysql is not installed on this node",
            hint="install it for the executors' Python: pip install 'pymysql>=1.2.4'",
        ) from None
    given = request.connection or {}
    host = str(given.get("host") or "localhost")
    integers = (
        FIELD_TYPE.TINY,
        FIELD_TYPE.SHORT,
        FIELD_TYPE.LONG,
        FIELD_TYPE.LONGLONG,
        FIELD_TYPE.INT24,
        FIELD_TYPE.YEAR,
    )
    values: dict[Any, Any] = {
        **encoders,
        **dict.fromkeys(integers, int),
        FIELD_TYPE.FLOAT: float,
        FIELD_TYPE.DOUBLE: float,
    }
    words: dict[str, Any] = {
        "user": given.get("user") or None,
        "password": str(given.get("password") or "").encode(),  # the driver would take Latin-1
        "database": given.get("database") or None,
        "charset": "utf8mb4",
        "autocommit": True,
        "connect_timeout": seconds,
        "conv": values,  # decimals, dates and times stay as the server writes them
        "program_name": "corral",
        **({"unix_socket": host} if host.startswith("/") else {"host": host, "port": int(given.get("port") or PORT)}),
    }
    tls = tls_of(given)
    # without a context the driver encrypts when the server can
    words |= {"ssl_disabled": True} if tls.mode == "off" else {"ssl": None if tls.mode == "prefer" else tls.context()}
    try:
        return pymysql.connect(**words)
    except (pymysql.err.MySQLError, RuntimeError, OSError) as error:
        cause = str(error.args[-1]) if error.args else type(error).__name__
        raise Failed(f"cannot connect to {given.get('name') or host!r}: {cause}") from None


def _kill(request: Request, number: int) -> None:
    """By a second connection: the first is busy with what is to be ended."""
    other = _open(request, CANCEL_SECONDS)
    with contextlib.closing(other), other.cursor() as cursor:
        cursor.execute(f"KILL QUERY {number}")


class _Session:
    def __init__(self, request: Request, connection: Any) -> None:
        self._request = request
        self._connection = connection
        self._read_only = bool(request.params["read_only"]) and request.params["mode"] != "explain"
        self._seconds = min(float(request.params["statement_timeout_seconds"]), request.deadline_seconds)
        self._mariadb = "mariadb" in str(connection.get_server_info()).lower()
        if self._mariadb:
            self._command(f"SET SESSION max_statement_time = {self._seconds}")
        self._command(f"SET SESSION sql_select_limit = {int(request.params['row_cap']) + 1}")
        self._read_as_reviewed()
        if self._read_only:
            self._command("SET SESSION TRANSACTION READ ONLY")

    def _read_as_reviewed(self) -> None:
        """Strings end where they ended for the review, whatever the server's default."""
        found = Rows(cap=1)
        self._send("SELECT @@sql_mode", (), found)
        modes = str(found.kept[0][0]).split(",")
        kept = [mode for mode in modes if mode not in _LEXING_MODES]
        if kept != modes:
            self._command(f"SET SESSION sql_mode = '{','.join(kept)}'")

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        """The transaction of a dry run."""
        if not self._request.dry_run or self._read_only or self._request.params["mode"] == "explain":
            yield
            return
        self._check_tables()
        self._command("START TRANSACTION")
        try:
            yield
        finally:
            self._command("ROLLBACK")
            rows = Rows(cap=100)
            self._send("SHOW WARNINGS", (), rows)
        if any(row[1] == _NOT_ROLLED_BACK for row in rows.kept):
            raise Failed(
                "cannot take everything back: a table without transactions was changed",
                hint="a trigger or a function reached it; look at what it did",
            )

    def run(self, text: str) -> Answer:
        if self._read_only:
            with self._rolled_back("START TRANSACTION READ ONLY"):
                return self._answer(text)
        answer = self._answer(text)
        if self._request.dry_run and not self._in_transaction():
            raise Failed(
                "cannot go on: the statement ended the transaction of the dry run, so it may have changed something"
            )
        return answer

    def explain(self, text: str) -> Answer:
        word = first_word(text, hashes=True)
        if word not in _EXPLAINED:
            return Answer(text=f"no plan: MySQL explains no {word or 'such statement'}")
        with self._rolled_back("START TRANSACTION"):  # MariaDB explains no change in a READ ONLY one
            answer = self._answer("EXPLAIN " + text)
        return Answer(columns=answer.columns, rows=answer.rows, estimate=_estimate(answer))

    @contextlib.contextmanager
    def _rolled_back(self, begin: str) -> Iterator[None]:
        self._command(begin)
        try:
            yield
        finally:
            with contextlib.suppress(Refused):
                self._command("ROLLBACK")

    def _check_tables(self) -> None:
        """Refuse a dry run whose text names a table that cannot roll back. A name too many is one refusal too many, no harm."""
        found = Rows(cap=100_000)
        self._command("SET SESSION sql_select_limit = DEFAULT")
        self._send(_UNTRANSACTIONAL, (), found)
        self._command(f"SET SESSION sql_select_limit = {int(self._request.params['row_cap']) + 1}")
        text = "\n".join(texts(self._request.params)).lower()
        for schema, name in found.kept:
            if str(name).lower() in text:
                raise BadParams(
                    f"cannot try this: table {schema}.{name} has no transactions, what happens to it stays",
                    element="params.sql",
                    hint="only tables of InnoDB and the like can be tried; --explain shows plans",
                )

    def _in_transaction(self) -> bool:
        self._command("DO 0")  # its answer carries the state of the session
        return bool(self._connection.server_status & _IN_TRANSACTION)

    def _answer(self, text: str) -> Answer:
        request = self._request
        rows = Rows(cap=int(request.params["row_cap"]))
        with self._watchdog():
            columns, affected = self._send(text, request.params.get("arguments") or (), rows)
        return Answer(columns=columns, rows=rows.kept, affected=affected, truncated=rows.truncated)

    @contextlib.contextmanager
    def _watchdog(self) -> Iterator[None]:
        """MySQL limits the time of SELECT alone; here everything ends in time."""
        if self._mariadb:
            yield
            return
        number, ended = int(self._connection.thread_id()), threading.Event()

        def end() -> None:
            ended.set()
            _kill(self._request, number)

        timer = threading.Timer(self._seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join(CANCEL_SECONDS)
        if ended.is_set():  # SLEEP and others end without an error
            raise Refused(f"it took longer than {self._seconds:g} s and was ended")

    def _command(self, text: str) -> None:
        """One of our own. Raises Refused."""
        self._send(text, (), Rows(cap=1))

    def _send(self, text: str, arguments: Sequence[Any], rows: Rows) -> tuple[list[str], int | None]:
        """Send one statement and read its rows as they come: (columns, affected). Raises Refused."""
        import pymysql
        from pymysql.cursors import SSCursor

        try:
            with self._connection.cursor(SSCursor) as cursor:
                cursor.execute(text, list(arguments) or None)
                if cursor.description is None:
                    return [], int(cursor.rowcount)
                columns = [str(column[0]) for column in cursor.description]
                while (row := cursor.fetchone()) is not None:
                    rows.add(row)
                while cursor.nextset():  # a procedure may answer more than once: the first answer is shown
                    rows.truncated = rows.truncated or cursor.description is not None
                return columns, None
        except pymysql.err.MySQLError as error:
            if error.args and isinstance(error.args[0], int):
                raise _refusal(error) from None
            raise _unfit(error) from None
        except (TypeError, ValueError) as error:
            raise _unfit(error) from None


def _unfit(error: Exception) -> Refused:
    return Refused(
        f"its placeholders and arguments do not fit: {error}", "one %s per --arg; write %% for a percent sign"
    )


def _refusal(error: Exception) -> Refused:
    code = error.args[0] if error.args else 0
    message = str(error.args[-1]) if error.args else type(error).__name__
    hint = "the database refused it, as --read-only asks" if code == 1792 else None
    return Refused(f"{message} (error {code})", hint)


def _estimate(answer: Answer) -> int:
    """Rows examined: the product of a join's tables, the largest of the plan's parts."""
    if "rows" not in answer.columns:
        return 0
    at = list(answer.columns).index("rows")
    parts: dict[Any, list[int]] = {}
    for row in answer.rows:
        with contextlib.suppress(TypeError, ValueError):
            parts.setdefault(row[0], []).append(int(row[at]))
    return max((math.prod(rows) for rows in parts.values()), default=0)


if __name__ == "__main__":
    main(KIND, run)
