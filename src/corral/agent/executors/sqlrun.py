"""One SQL task from its first statement to its last: what each engine's child does the same way.

The engine gives a Session: it runs one statement, explains one, and keeps to the task's rules (read-only, dry run, timeouts) with the
means of its database. Statements run in order and the first that fails ends the task; what was done before it stays done, and the
message says so.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from corral.agent.executors import sqltable
from corral.agent.executors.contract import BadParams, Failed, Request, emit, result
from corral.domain.executors.sqltask import EXECUTABLE_COMMENT, texts
from corral.runtime.clock import SystemClock

CELL_BYTES_MAX: Final = 16 << 20
"""Of one statement's rows kept in memory; more is counted as truncated, whatever the row cap allows."""
MEMORY_BYTES_MAX: Final = 768 << 20
"""Of this process: one value of a gigabyte ends the task, not the node."""
_RESULT_STATEMENTS: Final = 100
_RESULT_COLUMNS: Final = 50
_RESULT_NAME_CHARS: Final = 64


class Refused(Exception):
    """The database said no to a statement: its own words, and a hint when we know one."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one statement gave. `columns` is empty when it returns no rows; `estimate` belongs to a plan."""

    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    affected: int | None = None
    truncated: bool = False
    estimate: int | None = None
    text: str | None = None
    """Shown instead of the rows."""


class Session(Protocol):
    def run(self, text: str) -> Answer:
        """Raises Refused."""
        ...

    def explain(self, text: str) -> Answer:
        """The plan, nothing carried out. Raises Refused."""
        ...


@dataclass
class Rows:
    """The rows of one statement up to its caps."""

    cap: int
    kept: list[Sequence[Any]] = field(default_factory=list)
    truncated: bool = False
    _bytes: int = 0

    def add(self, row: Sequence[Any]) -> bool:
        """Keep a row; False once there is no room for this or a later one."""
        if self.truncated:
            return False
        size = sum(len(value) if isinstance(value, (str, bytes)) else 16 for value in row)
        if len(self.kept) >= self.cap or self._bytes + size > CELL_BYTES_MAX:
            self.truncated = True
            return False
        self._bytes += size
        self.kept.append(row)
        return True


def check_words(request: Request, first: Sequence[str], reads: Iterable[str]) -> None:
    """Raise BadParams for a statement that a read-only task may not begin with. The database refuses what hides behind a word."""
    if not request.params["read_only"] or request.params["mode"] == "explain":
        return
    for number, word in enumerate(first, 1):
        if word not in reads:
            shown = "a comment that MySQL executes" if word == EXECUTABLE_COMMENT else (word or "nothing")
            raise BadParams(
                f"cannot run statement {number} read-only: it begins with {shown}",
                element="params.read_only",
                hint=f"a read-only task runs {', '.join(sorted(reads))}",
            )


def perform(request: Request, session: Session) -> None:
    """Raises Failed naming the statement, the cause, and what was done before it."""
    _limit_memory()
    statements = texts(request.params)
    explain = request.params["mode"] == "explain"
    clock = SystemClock()
    done: list[dict[str, Any]] = []
    for number, text in enumerate(statements, 1):
        started = clock.monotonic()
        try:
            answer = session.explain(text) if explain else session.run(text)
        except MemoryError:
            _report(done)
            raise Failed(
                f"cannot show statement {number} of {len(statements)}: a row of it does not fit into memory",
                hint="ask for less of the large column, or save it to a file on the database's side",
            ) from None
        except Refused as error:
            _report(done)
            raise Failed(
                f"cannot run statement {number} of {len(statements)}: {error.message}",
                hint=error.hint or _kept(request, number - 1),
            ) from None
        seconds = clock.monotonic() - started
        _show(request, number, len(statements), answer, seconds)
        done.append(_outcome(answer, seconds))
    _report(done)


def _limit_memory() -> None:
    """Never above a limit that is set already."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MEMORY_BYTES_MAX if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES_MAX, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _kept(request: Request, before: int) -> str | None:
    if before == 0 or request.dry_run or request.params["read_only"] or request.params["mode"] == "explain":
        return None
    return f"statement{'s' if before > 1 else ''} 1{f' to {before}' if before > 1 else ''} did run and stay in effect"


def _show(request: Request, number: int, of: int, answer: Answer, seconds: float) -> None:
    form = request.params["format"]
    if answer.text is not None:
        if form == "json":
            emit(sqltable.as_json(answer.columns, answer.rows))
        else:
            emit(answer.text)
    elif form == "json":
        emit(
            sqltable.as_json(answer.columns, answer.rows)
            if answer.columns
            else f'{{"affected":{answer.affected or 0}}}'
        )
    elif form == "csv":
        if answer.columns:
            emit(sqltable.as_csv(answer.columns, answer.rows))
    elif answer.columns:
        emit(sqltable.table(answer.columns, answer.rows))
    if form == "table":
        head = f"statement {number}: " if of > 1 else ""
        emit(f"({head}{_footer(request, answer)}, {seconds:.3f} s)")


def _footer(request: Request, answer: Answer) -> str:
    if answer.estimate is not None:
        return f"about {answer.estimate} rows estimated, nothing was run"
    parts = []
    if answer.columns:
        count = f"{len(answer.rows)} row{'' if len(answer.rows) == 1 else 's'}"
        parts.append(f"{count}, more were cut off" if answer.truncated else count)
    if answer.affected is not None and (not answer.columns or request.dry_run):
        verb = "would be affected, rolled back" if request.dry_run else "affected"
        parts.append(f"{answer.affected} row{'' if answer.affected == 1 else 's'} {verb}")
    return ", ".join(parts) or "done"


def _outcome(answer: Answer, seconds: float) -> dict[str, Any]:
    out: dict[str, Any] = {
        "rows": len(answer.rows) if answer.columns else 0,
        "affected": answer.affected,
        "columns": [name[:_RESULT_NAME_CHARS] for name in answer.columns[:_RESULT_COLUMNS]],
        "seconds": round(seconds, 6),
        "truncated": answer.truncated,
    }
    return out if answer.estimate is None else out | {"estimate": answer.estimate}


def _report(done: Sequence[dict[str, Any]]) -> None:
    """What was done, within the bytes an outcome may have: the column names of a long script are the first to go."""
    shown = list(done[:_RESULT_STATEMENTS])
    for statements in (shown, [{**one, "columns": []} for one in shown]):
        with contextlib.suppress(Failed):
            result({"statements": statements, "done": len(done)})
            return
