"""Kind postgres: each statement alone by the extended protocol, which takes no second one, over one connection of psycopg 3.

Read-only: every statement has a READ ONLY transaction of its own that holds a snapshot before the statement begins (so that it cannot be
made writable any more) and is rolled back. Dry run: one transaction around all, deferred constraints checked, rolled back. Otherwise
each statement commits by itself, unless the text says BEGIN. Values are shown as PostgreSQL writes them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from corral.agent.executors.contract import BadParams, Failed, MissingDriver, Request, main, on_cancel
from corral.agent.executors.sqlrun import Answer, Refused, Rows, check_words, perform
from corral.agent.executors.sqltls import tls_of
from corral.domain.executors.postgres import KIND, READS, TRANSACTION
from corral.domain.executors.sqltask import first_word, texts

CONNECT_SECONDS: Final = 10
CANCEL_SECONDS: Final = 3.0
_CHUNK_ROWS: Final = 1000
_SSL_MODES: Final = {"off": "disable", "prefer": "prefer", "require": "require", "verify": "verify-full"}
_EXPLAINED: Final = frozenset({"SELECT", "WITH", "TABLE", "VALUES", "INSERT", "UPDATE", "DELETE", "MERGE", "EXECUTE"})
_JSON: Final = json.loads
_LOADERS: Final[Mapping[int, Callable[[str], Any]]] = {
    16: lambda text: text == "t",
    20: int,
    21: int,
    23: int,
    26: int,
    700: float,
    701: float,
    114: _JSON,
    3802: _JSON,
}
"""By type OID: bool, the integers, the floats, json. Everything else stays the text PostgreSQL sends (numeric keeps every digit)."""


def run(request: Request) -> None:
    statements = texts(request.params)
    words = [first_word(text, nested=True) for text in statements]
    check_words(request, words, READS)
    for number, word in enumerate(words, 1):
        if request.dry_run and word in TRANSACTION:
            raise BadParams(
                f"cannot try statement {number}: {word} would leave the transaction of the dry run",
                element="params.sql",
                hint="leave the transaction commands out of a dry run",
            )
    with _connected(request) as connection:
        session = _Session(request, connection)
        with session.around():
            perform(request, session)


@contextlib.contextmanager
def _connected(request: Request) -> Iterator[Any]:
    """A connection of psycopg that SIGTERM cancels at the server. Raises Failed, MissingDriver."""
    try:
        import psycopg
    except ImportError:
        raise MissingDriver(
            "cannot run postgres: psycopg is not installed on this node",
            hint="install it for the executors' Python: pip install 'psycopg[binary]>=3.3.9'",
        ) from None
    given = request.connection or {}
    tls = tls_of(given)
    words: dict[str, Any] = {
        "host": given.get("host"),
        "port": given.get("port"),
        "dbname": given.get("database"),
        "user": given.get("user"),
        "password": given.get("password"),
        "sslmode": _SSL_MODES[tls.mode],
        "sslrootcert": tls.ca or ("system" if tls.mode == "verify" else None),
        "sslcert": tls.cert,
        "sslkey": tls.key,
        "application_name": "corral",
        "client_encoding": "UTF8",
        "connect_timeout": CONNECT_SECONDS,
    }
    try:
        connection = psycopg.connect(
            "", autocommit=True, **{name: value for name, value in words.items() if value not in (None, "")}
        )
    except psycopg.Error as error:
        cause = " ".join(str(error).split())
        raise Failed(f"cannot connect to {given.get('name') or given.get('host')!r}: {cause}") from None
    on_cancel(lambda: connection.cancel_safe(timeout=CANCEL_SECONDS))
    try:
        yield connection
    finally:
        connection.close()


class _Session:
    def __init__(self, request: Request, connection: Any) -> None:
        self._request = request
        self._connection = connection
        self._read_only = bool(request.params["read_only"])
        seconds = min(float(request.params["statement_timeout_seconds"]), request.deadline_seconds)
        self._command("SET standard_conforming_strings = on")  # strings end where they ended for the review
        self._command(f"SET statement_timeout = {max(1, int(seconds * 1000))}")

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        """The transaction of a dry run."""
        if not self._request.dry_run or self._read_only or self._request.params["mode"] == "explain":
            yield
            return
        self._command("BEGIN")
        try:
            yield
            try:
                self._command("SET CONSTRAINTS ALL IMMEDIATE")
            except Refused as error:
                raise Failed(f"cannot try this: a deferred constraint would refuse it: {error.message}") from None
        finally:
            self._roll_back()

    def run(self, text: str) -> Answer:
        if self._read_only:
            with self._read_only_transaction():
                return self._answer(text)
        answer = self._answer(text)
        if self._request.dry_run and not self._in_transaction():
            raise Failed(
                "cannot go on: the statement ended the transaction of the dry run, so it may have changed something"
            )
        return answer

    def explain(self, text: str) -> Answer:
        word = first_word(text, nested=True)
        if word not in _EXPLAINED:
            return Answer(text=f"no plan: PostgreSQL explains no {word or 'such statement'}")
        with self._read_only_transaction():
            answer = self._answer("EXPLAIN (FORMAT JSON) " + text)
        plan = answer.rows[0][0][0]["Plan"]
        return Answer(columns=("plan",), rows=((plan,),), estimate=_estimate(plan), text="\n".join(_plan_lines(plan)))

    @contextlib.contextmanager
    def _read_only_transaction(self) -> Iterator[None]:
        self._command("BEGIN TRANSACTION READ ONLY")
        try:
            self._command("SELECT 1")  # takes the snapshot: from now on SET TRANSACTION READ WRITE is an error
            yield
        finally:
            self._roll_back()

    def _answer(self, text: str) -> Answer:
        request = self._request
        rows = Rows(cap=int(request.params["row_cap"]))
        columns, affected = self._send(text, request.params.get("arguments") or (), rows)
        return Answer(columns=columns, rows=rows.kept, affected=affected, truncated=rows.truncated)

    def _command(self, text: str) -> None:
        """One of our own. Raises Refused."""
        self._send(text, (), Rows(cap=1))

    def _roll_back(self) -> None:
        with contextlib.suppress(Refused):
            if self._in_transaction():
                self._command("ROLLBACK")

    def _in_transaction(self) -> bool:
        from psycopg.pq import TransactionStatus

        return self._connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)

    def _send(self, text: str, arguments: Sequence[Any], rows: Rows) -> tuple[list[str], int | None]:
        """Send one statement and read its rows: (columns, affected). Raises Refused."""
        import psycopg
        from psycopg import generators
        from psycopg.pq import ExecStatus

        driver = self._connection.pgconn
        columns: list[str] = []
        affected: int | None = None
        refused: Refused | None = None
        try:
            driver.send_query_params(text.encode(), [_bound(value) for value in arguments])
            driver.set_chunked_rows_mode(_CHUNK_ROWS)
            self._connection.wait(generators.send(driver))
            while (part := self._connection.wait(generators.fetch(driver))) is not None:
                if part.status in (ExecStatus.TUPLES_CHUNK, ExecStatus.TUPLES_OK):
                    columns = [(part.fname(i) or b"").decode() for i in range(part.nfields)]
                    self._keep(part, rows)
                elif part.status in (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH):
                    self._connection.close()
                    raise Refused(
                        "COPY from or to the client is not possible here",
                        "use the database's own tools, or COPY with a file",
                    )
                elif part.status in (ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE):
                    refused = refused or _refusal(part)
                if part.command_tuples is not None and not (part.command_status or b"").startswith(_COUNTS_ROWS):
                    affected = part.command_tuples
        except psycopg.Error as error:
            raise Refused(" ".join(str(error).split())) from None
        if refused is not None and not (rows.truncated and self._read_only and refused.message.startswith(_CANCELLED)):
            raise refused
        return columns, affected

    def _keep(self, part: Any, rows: Rows) -> None:
        """Rows past the cap are read and dropped, for their statement may change something; a read-only one is cancelled."""
        if rows.truncated:
            return
        loaders = [_LOADERS.get(part.ftype(i), str) for i in range(part.nfields)]
        for number in range(part.ntuples):
            raw = [part.get_value(number, i) for i in range(part.nfields)]
            row = [
                None if v is None else load(v.decode(errors="replace")) for v, load in zip(raw, loaders, strict=True)
            ]
            if not rows.add(row):
                if self._read_only:
                    self._connection.cancel_safe(timeout=CANCEL_SECONDS)
                return


_COUNTS_ROWS: Final = (b"SELECT", b"FETCH", b"MOVE", b"SHOW")
"""Command tags whose number is that of the rows shown."""
_CANCELLED: Final = "canceling statement due to user request"


def _bound(value: Any) -> bytes | None:
    if value is None:
        return None
    return (str(value).lower() if isinstance(value, bool) else str(value)).encode()


def _refusal(part: Any) -> Refused:
    from psycopg.pq import DiagnosticField

    def field(name: DiagnosticField) -> str:
        return (part.error_field(name) or b"").decode(errors="replace").strip()

    # what the client's own library found (a lost connection, no memory for a row) has no fields
    message = field(DiagnosticField.MESSAGE_PRIMARY) or " ".join(
        (part.error_message or b"").decode(errors="replace").split()
    )
    message = message or "the connection was lost"
    detail = field(DiagnosticField.MESSAGE_DETAIL)
    position = field(DiagnosticField.STATEMENT_POSITION)
    message += f" ({detail})" if detail else ""
    message += f" at character {position}" if position else ""
    return Refused(message, field(DiagnosticField.MESSAGE_HINT) or None)


def _estimate(plan: Mapping[str, Any]) -> int:
    """The rows the plan reads or changes: a changing node at its top has none of its own, its child does."""
    inner = plan.get("Plans") or ()
    if plan.get("Node Type") == "ModifyTable" and inner:
        return _estimate(inner[0])
    return int(plan.get("Plan Rows", 0))


def _plan_lines(plan: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    what = str(plan.get("Operation") or plan.get("Node Type"))
    on = f" on {plan['Relation Name']}" if "Relation Name" in plan else ""
    using = f" using {plan['Index Name']}" if "Index Name" in plan else ""
    cost = f"cost {plan.get('Startup Cost', 0)}..{plan.get('Total Cost', 0)}, rows {plan.get('Plan Rows', 0)}"
    yield f"{'  ' * depth}{what}{on}{using}  ({cost})"
    for name in ("Filter", "Index Cond", "Hash Cond"):
        if name in plan:
            yield f"{'  ' * depth}  {name}: {plan[name]}"
    for inner in plan.get("Plans") or ():
        yield from _plan_lines(inner, depth + 1)


if __name__ == "__main__":
    main(KIND, run)
