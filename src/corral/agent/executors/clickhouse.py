"""Kind clickhouse: each statement is one request of the HTTP interface, which takes no second one; no driver is needed.

Read-only is the database's own setting readonly=1, which a statement cannot change. There are no transactions, so there is no dry run.
A task's statements share a session, so that SET and temporary tables hold, unless it is read-only. Rows travel in a format which
servers of 2018 know as well as new ones.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from corral.agent.executors.contract import BadParams, Request, main, on_cancel
from corral.agent.executors.sqlrun import Answer, Refused, Rows, check_words, perform
from corral.agent.executors.sqltls import tls_of
from corral.domain.executors.clickhouse import KIND, READS
from corral.domain.executors.sqltask import first_word, texts

PORT: Final = 8123
TLS_PORTS: Final = (443, 8443)
CANCEL_SECONDS: Final = 3.0
SLACK_SECONDS: Final = 10.0
FORMAT: Final = "TabSeparatedWithNamesAndTypes"
_MESSAGE_CHARS: Final = 2000
_RAW_BYTES: Final = 1 << 20
_ESCAPES: Final = {"b": "\b", "f": "\f", "r": "\r", "n": "\n", "t": "\t", "0": "\0"}
_READONLY_MODE: Final = "Cannot modify"


def run(request: Request) -> None:
    if request.dry_run:
        raise BadParams(
            "cannot try SQL on ClickHouse: it has no transaction to roll back",
            element="dry_run",
            hint="--explain shows what a query would read",
        )
    check_words(request, [first_word(text, nested=True) for text in texts(request.params)], READS)
    session = _Session(request)
    on_cancel(session.kill)
    perform(request, session)


class _Session:
    def __init__(self, request: Request) -> None:
        self._request = request
        self._given = request.connection or {}
        self._explains = request.params["mode"] == "explain"
        self._read_only = bool(request.params["read_only"]) or self._explains
        self._seconds = min(float(request.params["statement_timeout_seconds"]), request.deadline_seconds)
        self._query = f"corral-{uuid.uuid4()}"
        self._session = "" if self._read_only else f"corral-{uuid.uuid4()}"

    def run(self, text: str) -> Answer:
        rows = Rows(cap=int(self._request.params["row_cap"]))
        reads = self._read_only or first_word(text, nested=True) in READS
        with self._asked(text, self._settings(reads)) as answer:
            if (answer.getheader("X-ClickHouse-Format") or FORMAT) != FORMAT:
                return Answer(text=answer.read(_RAW_BYTES).decode(errors="replace").rstrip("\n"))
            columns = _read_rows(answer.readline, rows, stop=self._read_only)
            if rows.truncated and self._read_only:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    self.kill()  # nobody reads the rest
            return Answer(
                columns=columns,
                rows=rows.kept,
                affected=None if columns else _written(answer),
                truncated=rows.truncated,
            )

    def explain(self, text: str) -> Answer:
        word = first_word(text, nested=True)
        if word not in {"SELECT", "WITH"}:
            return Answer(text=f"no plan: ClickHouse explains no {word or 'such statement'}")
        plan = self.run("EXPLAIN " + text)
        lines = "\n".join(str(row[0]) for row in plan.rows)
        estimate = 0
        with contextlib.suppress(Refused, ValueError):  # only tables of the MergeTree family are estimated
            parts = self.run("EXPLAIN ESTIMATE " + text)
            estimate = sum(int(row[list(parts.columns).index("rows")]) for row in parts.rows)
        return Answer(columns=plan.columns, rows=plan.rows, estimate=estimate, text=lines)

    def kill(self) -> None:
        connection = self._connect(CANCEL_SECONDS)
        connection.request("POST", "/", f"KILL QUERY WHERE query_id = '{self._query}' ASYNC", self._headers())
        connection.getresponse().read()

    def _settings(self, reads: bool) -> dict[str, str]:
        """What the request asks of the server besides the text."""
        settings = {
            "query_id": self._query,
            "default_format": FORMAT,
            "max_execution_time": str(max(1, math.ceil(self._seconds))),
        }
        if self._given.get("database"):
            settings["database"] = str(self._given["database"])
        if self._read_only:
            settings["readonly"] = "1"
        if self._session:
            settings["session_id"] = self._session
        if not reads:
            settings["wait_end_of_query"] = "1"  # its answer is short, and its status is then the truth
        for number, value in enumerate(self._request.params.get("arguments") or (), 1):
            settings[f"param_p{number}"] = (
                "\\N" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            )
        return settings

    @contextlib.contextmanager
    def _asked(self, text: str, settings: Mapping[str, str]) -> Iterator[http.client.HTTPResponse]:
        """The answer to one statement. Raises Refused."""
        connection = self._connect(self._seconds + SLACK_SECONDS)
        try:
            try:
                connection.request("POST", "/?" + urllib.parse.urlencode(settings), text.encode(), self._headers())
                answer = connection.getresponse()
                if answer.status != 200:
                    raise _refusal(answer.read(_MESSAGE_CHARS * 4).decode(errors="replace"))
                yield answer
            except (OSError, http.client.HTTPException) as error:
                name = self._given.get("name") or self._given.get("host")
                raise Refused(f"the connection to {name!r} failed: {error or type(error).__name__}") from None
        finally:
            connection.close()

    def _connect(self, seconds: float) -> http.client.HTTPConnection:
        host, port = str(self._given.get("host") or "localhost"), int(self._given.get("port") or PORT)
        tls = tls_of(self._given)
        if tls.mode in ("require", "verify") or (tls.mode == "prefer" and port in TLS_PORTS):
            return http.client.HTTPSConnection(host, port, timeout=seconds, context=tls.context())
        return http.client.HTTPConnection(host, port, timeout=seconds)

    def _headers(self) -> dict[str, str]:
        """The password is no part of the URL, which servers write into logs."""
        user, password = self._given.get("user") or "default", self._given.get("password") or ""
        return {"X-ClickHouse-User": str(user), "X-ClickHouse-Key": str(password), "User-Agent": "corral"}


def _read_rows(readline: Callable[[], bytes], rows: Rows, *, stop: bool) -> Sequence[str]:
    """The column names; rows past the cap are read and dropped, or with `stop` not read at all. Raises Refused."""
    names = _fields(readline())
    loaders = [_loader(str(name)) for name in _fields(readline())]
    while line := readline():
        values = _fields(line)
        if len(values) != len(names) or str(values[0]).startswith("Code: "):
            _check_trailer(line + b"".join(iter(readline, b"")))
        if len(values) != len(names):
            raise Refused("the answer broke off in the middle of a row")
        loaded = [None if value is None else load(value) for value, load in zip(values, loaders, strict=True)]
        if not rows.add(loaded) and stop:
            break
    return [str(name) for name in names]


def _fields(line: bytes) -> list[str | None]:
    text = line.decode(errors="replace").rstrip("\n")
    return [_unescaped(field) for field in text.split("\t")] if line else []


def _unescaped(field: str) -> str | None:
    if field == "\\N":
        return None
    if "\\" not in field:
        return field
    out, at = [], 0
    while at < len(field):
        if field[at] == "\\" and at + 1 < len(field):
            out.append(_ESCAPES.get(field[at + 1], field[at + 1]))
            at += 2
        else:
            out.append(field[at])
            at += 1
    return "".join(out)


def _loader(name: str) -> Callable[[str], Any]:
    """How a value of a type is read; what is neither number nor truth stays text (decimals keep every digit)."""
    inner = name
    for wrapper in ("LowCardinality(", "Nullable("):
        inner = inner.removeprefix(wrapper)
    inner = inner.rstrip(")")
    if inner.startswith(("Int", "UInt")):
        return int
    if inner.startswith("Float"):
        return float
    return (lambda text: text == "true") if inner == "Bool" else str


def _written(answer: http.client.HTTPResponse) -> int | None:
    """Rows written, as servers since 2019 say in a header."""
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        return int(json.loads(answer.getheader("X-ClickHouse-Summary") or "")["written_rows"])
    return None


def _check_trailer(rest: bytes) -> None:
    """An error that came while rows were on their way is written behind them."""
    text = rest.decode(errors="replace")
    if "DB::Exception" in text or "e.displayText()" in text:
        raise _refusal(text)


def _refusal(text: str) -> Refused:
    message = " ".join(text[:_MESSAGE_CHARS].split()) or "no reason was given"
    if _READONLY_MODE in message and "readonly" in message:
        return Refused(
            message, "this user may not set limits: give it a profile with readonly = 2 and leave --read-only out"
        )
    return Refused(message)


if __name__ == "__main__":
    main(KIND, run)
